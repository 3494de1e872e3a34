"""Mixtures of experts through every entry: ``from_pretrained``, ``AutoConfig``, ``load_weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mindformers.models.qwen3 import Qwen3ForCausalLM
from mindformers.models.qwen3_moe import (
    InferenceQwen3MoeForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    TrainingQwen3MoeForCausalLM,
)
from tests.faults.catalog import SHARDS, Fault
from tests.faults.moe import MOE_FAULTS
from tests.mindformers.loading.test_reference_data import CASES, generate
from tests.mindformers.loading.transfer.stock import bits, build, differences
from tests.support.checkpoints import TINY_MOE, write_checkpoint

from mf_qwen3_patch.errors import CheckpointError, UnsupportedCheckpoint
from mindformers import AutoConfig, AutoModel, AutoModelForCausalLM

MOE_CASES = [name for name in CASES if name.startswith("moe")]


def test_there_are_mixtures_among_the_reference_data() -> None:
    assert {"moe", "moe_eight_experts", "moe_top1", "moe_bf16", "moe_tied"} <= set(MOE_CASES)


@pytest.mark.parametrize("name", MOE_CASES)
def test_load_weights_gives_huggingfaces_tokens(name: str) -> None:
    case = CASES[name]
    network = build(case.directory)
    network.load_weights(str(case.directory))

    assert [generate(network, [prompt], case)[0] for prompt in case.prompts] == case.sequences
    assert network.mf_qwen3_report.loader == "mf_qwen3_patch"


@pytest.mark.parametrize("entry", [AutoModel, AutoModelForCausalLM, Qwen3MoeForCausalLM, InferenceQwen3MoeForCausalLM])
def test_every_class_loads_the_same(entry: Any) -> None:
    case = CASES["moe"]
    model = entry.from_pretrained(case.directory)

    assert type(model) is InferenceQwen3MoeForCausalLM
    assert differences(bits(AutoModel.from_pretrained(str(case.directory))), bits(model)) == {}


def test_autoconfig_reads_it() -> None:
    config = AutoConfig.from_pretrained(CASES["moe"].directory)

    assert type(config) is Qwen3MoeConfig
    assert (config.num_experts, config.num_experts_per_tok, config.moe_intermediate_size) == (4, 2, 24)


def test_the_other_familys_class_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="describes a Qwen3 mixture of experts, but"):
        Qwen3ForCausalLM.from_pretrained(CASES["moe"].directory)
    with pytest.raises(UnsupportedCheckpoint, match="describes Qwen3, but"):
        Qwen3MoeForCausalLM.from_pretrained(CASES["gqa2"].directory)
    dense = build(CASES["gqa2"].directory)
    with pytest.raises(UnsupportedCheckpoint, match="describes a Qwen3 mixture of experts, but"):
        dense.load_weights(str(CASES["moe"].directory))


def test_training_is_left_to_stock() -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever stock says
        TrainingQwen3MoeForCausalLM.from_pretrained(CASES["moe"].directory)
    assert not isinstance(caught.value, CheckpointError)


@pytest.mark.parametrize("fault", [fault for fault in MOE_FAULTS if fault.ranks == 1], ids=lambda fault: fault.name)
def test_a_fault_is_one_error_and_leaves_a_loaded_model_alone(fault: Fault, tmp_path: Path, good: Any) -> None:
    directory = write_checkpoint(tmp_path / "model", shards=SHARDS, **TINY_MOE)
    fault.make(directory)
    before = {name: array.copy() for name, array in bits(good).items()}

    with pytest.raises(CheckpointError) as error:
        AutoModel.from_pretrained(directory)
    assert type(error.value) is fault.error
    try:
        good.load_weights(str(directory))
    except CheckpointError:
        assert differences(before, bits(good)) == {}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoModel.from_pretrained(write_checkpoint(tmp_path_factory.mktemp("good"), shards=SHARDS, **TINY_MOE))


def test_a_network_with_more_experts_chosen_than_config_json_says_is_warned_of(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", **TINY_MOE)
    network = build(directory, num_experts_per_tok=3)

    with pytest.warns(UserWarning, match="sets num_experts_per_tok to 3 over config.json's 2"):
        network.load_weights(str(directory))
