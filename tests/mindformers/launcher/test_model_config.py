"""The config that the launcher builds a model from: MindFormers' own functions, config.json in every dialect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
from mindformers.generation import GenerationConfig
from mindformers.models.build_config import get_model_config, merge_model_config
from mindformers.models.build_model import build_network
from mindformers.models.qwen3 import Qwen3Config
from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
from mindformers.tools.register import MindFormerConfig
from tests.support.checkpoints import TINY_MOE, edit_config, write_checkpoint, write_json
from tests.support.lora import write_adapter

import mf_qwen3_patch
from mf_qwen3_patch import CheckpointWarning, ConfigMismatch, UnsupportedCheckpoint
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context
from mindformers import AutoModel

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
FLOAT32 = {"compute_dtype": "float32", "params_dtype": "float32", "rotary_dtype": "float32"}


def _settings(directory: Path, **model_config: Any) -> MindFormerConfig:
    return MindFormerConfig(model_config=model_config, pretrained_model_dir=str(directory))


def _logits(model: Any, ids: list[int]) -> np.ndarray:
    output = model.generate([ids], max_new_tokens=2, do_sample=False, return_dict_in_generate=True, output_logits=True)
    return np.stack([step.astype(np.float32) for step in output["logits"]])


@pytest.mark.parametrize("dialect", ["4.51", "4.57", "5"])
@pytest.mark.parametrize("yarn", [False, True])
@pytest.mark.parametrize("kind", [{}, TINY_MOE], ids=["dense", "moe"])
def test_the_launchers_network_is_from_pretrained_s(
    kind: dict[str, Any], yarn: bool, dialect: str, tmp_path: Path
) -> None:
    rope: dict[str, Any] = {}
    if yarn:
        rope = {"rope_parameters": YARN | {"rope_theta": 1e6}} if dialect == "5" else {"rope_scaling": YARN}
    path = write_checkpoint(tmp_path / "hf", dialect=dialect, max_position_embeddings=512, **rope, **kind)
    whole = AutoModel.from_pretrained(path)  # builds the context, too
    network = build_network(_settings(path, seq_length=128))
    network.load_weights(str(path))

    assert type(network) is type(whole)
    np.testing.assert_array_equal(_logits(network, [5, 6, 7]), _logits(whole, [5, 6, 7]))


def test_the_yaml_goes_over_config_json(tmp_path: Path) -> None:
    config = get_model_config(_settings(write_checkpoint(tmp_path / "hf"), seq_length=77, block_size=16, **FLOAT32))

    assert type(config) is Qwen3Config
    assert (config.seq_length, config.block_size, config.compute_dtype) == (77, 16, "float32")
    assert config.pretrained_model_dir == str(tmp_path / "hf")


def test_a_model_config_that_says_nothing(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf")
    config = get_model_config(MindFormerConfig(pretrained_model_dir=str(path)))

    assert config.hidden_size == 80


@pytest.mark.parametrize(("dtype", "expected"), [("F16", "float16"), ("F32", "float32")])
def test_parameters_have_the_checkpoints_dtype_where_the_yaml_says_none(
    dtype: str, expected: str, tmp_path: Path
) -> None:
    path = write_checkpoint(tmp_path / "hf", dtype=dtype)

    assert get_model_config(_settings(path)).params_dtype == expected
    assert get_model_config(_settings(path, params_dtype="bfloat16")).params_dtype == "bfloat16"


def test_an_alias_in_the_yaml_is_no_second_setting(tmp_path: Path) -> None:
    """Stock stops at config.json's num_hidden_layers beside the YAML's num_layers."""
    path = write_checkpoint(tmp_path / "hf")
    AutoModel.from_pretrained(path)
    network = build_network(_settings(path, num_layers=2, seq_length=64, **FLOAT32))

    assert type(network) is InferenceQwen3ForCausalLM


def test_what_cannot_be_is_an_error_before_anything_is_built(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf")
    with pytest.raises(ConfigMismatch, match="the YAML's model_config has an unusable value for hidden_size"):
        get_model_config(_settings(path, hidden_size=-3))
    edit_config(path, use_sliding_window=True, sliding_window=64, max_window_layers=0)
    with pytest.raises(UnsupportedCheckpoint, match="use_sliding_window"):
        get_model_config(_settings(path))


def test_a_window_that_no_layer_has_changes_nothing(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf")
    expected = get_model_config(_settings(path)).to_dict()
    edit_config(path, use_sliding_window=True, max_window_layers=28)

    assert get_model_config(_settings(path)).to_dict() == expected


def test_a_key_that_changes_nothing_is_warned_of(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf")
    edit_config(path, novel_key=3)
    with pytest.warns(CheckpointWarning, match="novel_key"):
        config = get_model_config(_settings(path))

    assert "novel_key" not in config.to_dict()


def test_others_are_stocks_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llama = tmp_path / "llama"
    llama.mkdir()
    raw = {"model_type": "llama", "hidden_size": 64, "anything": 1}
    write_json(llama / "config.json", raw)
    qwen3 = write_checkpoint(tmp_path / "hf", dialect="5")

    assert merge_model_config(str(llama), {"x": 2}) == raw | {"x": 2}
    assert "rope_parameters" not in get_model_config(_settings(qwen3)).to_dict()


@pytest.mark.parametrize("dialect", ["4.51", "4.57", "5"])
@pytest.mark.parametrize("yarn", [False, True])
@pytest.mark.parametrize("kind", [{}, TINY_MOE], ids=["dense", "moe"])
def test_for_training_it_is_stocks_own_in_every_dialect(
    kind: dict[str, Any], yarn: bool, dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rope: dict[str, Any] = {}
    if yarn:
        complete = YARN | {"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 0.0}
        rope = {"rope_parameters": YARN | {"rope_theta": 1e6}} if dialect == "5" else {"rope_scaling": YARN}
        kind = kind | {"max_position_embeddings": 512}
    else:
        complete = None
    path = write_checkpoint(tmp_path / "hf", dialect=dialect, **rope, **kind)
    plain = write_checkpoint(tmp_path / "plain", rope_scaling=complete, **kind)
    yaml = {"params_dtype": "float32", "compute_dtype": "bfloat16", "seq_length": 64}
    ensure_inference_context()
    monkeypatch.setenv("RUN_MODE", "finetune")
    ours = get_model_config(_settings(path, **yaml)).to_dict()
    mf_qwen3_patch.deactivate()
    try:
        stock = get_model_config(_settings(plain, **yaml)).to_dict()
    finally:
        mf_qwen3_patch.activate()

    for config in (ours, stock):
        config.pop("pretrained_model_dir")
        config.pop("transformers_version", None)
    assert ours == stock


def test_deactivate_puts_stocks_back() -> None:
    from mindformers.models import build_config

    ours = build_config.merge_model_config
    mf_qwen3_patch.deactivate()
    try:
        assert build_config.merge_model_config is not ours
    finally:
        mf_qwen3_patch.activate()
    assert mindspore.get_context("device_target") == "CPU"


@pytest.mark.parametrize("file", [None, {"eos_token_id": [7, 2], "top_k": 5}, {"do_sample": True, "eos_token_id": 9}])
def test_the_launchers_generation_config_is_from_pretrained_s(file: dict[str, Any] | None, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", temperature=0.7)
    if file is not None:
        write_json(path / "generation_config.json", file)
    write_adapter(tmp_path / "adapter", path)
    expected = vars(AutoModel.from_pretrained(path).generation_config)

    for directory in (path, tmp_path / "adapter"):
        found = vars(GenerationConfig.from_pretrained(str(directory)))
        assert found.keys() == expected.keys()
        assert {name: (found[name], expected[name]) for name in found if found[name] != expected[name]} == {}


def test_the_generation_config_of_others_is_stocks_business(tmp_path: Path) -> None:
    llama = tmp_path / "llama"
    llama.mkdir()
    write_json(llama / "config.json", {"model_type": "llama", "eos_token_id": 5})
    path = write_checkpoint(tmp_path / "hf")

    assert GenerationConfig.from_pretrained(str(llama)).eos_token_id == []
    assert GenerationConfig.from_pretrained(str(path), top_k=3).eos_token_id == []


def test_an_adapters_config_is_its_bases(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", dialect="5")
    write_adapter(tmp_path / "adapter", path)

    of_adapter, of_base = (get_model_config(_settings(place)).to_dict() for place in (tmp_path / "adapter", path))
    assert of_adapter | {"pretrained_model_dir": str(path)} == of_base
