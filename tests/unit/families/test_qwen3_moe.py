"""Mixtures of experts through preflight: sound ones pass at full size, each fault is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults.catalog import SHARDS, Fault
from tests.faults.moe import MOE_FAULTS
from tests.support.checkpoints import (
    TINY,
    TINY_MOE,
    edit_config,
    edit_weights,
    make_config,
    tensor_shapes,
    weight_files,
    write_checkpoint,
    zeros,
)

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.files.directory import is_qwen3_directory
from mf_qwen3_patch.errors import CheckpointError


def moe(directory: Path, **options: Any) -> Path:
    return write_checkpoint(directory, shards=SHARDS, **TINY_MOE, **options)


@pytest.mark.parametrize("fault", MOE_FAULTS, ids=lambda fault: fault.name)
def test_fault_is_named(fault: Fault, tmp_path: Path) -> None:
    directory = moe(tmp_path / "model")
    assert preflight(directory).problems == ()

    fault.make(directory)
    result = preflight(directory, tensor_parallel=fault.ranks)

    with pytest.raises(CheckpointError) as caught:
        result.raise_for_problems()
    message = str(caught.value)
    assert type(caught.value) is fault.error, message
    for text in fault.says:
        assert text in message, message
    assert len(result.problems) == 1, f"one root cause is one problem:\n{message}"


@pytest.mark.parametrize("dialect", ["4.51", "4.57", "5"])
@pytest.mark.parametrize("tie", [False, True])
def test_a_sound_one_passes_without_a_word(tie: bool, dialect: str, tmp_path: Path) -> None:
    result = preflight(moe(tmp_path, tie=tie, dialect=dialect), tensor_parallel=2)

    assert result.problems == ()
    assert result.warnings == ()
    assert result.family.model_type == "qwen3_moe"
    assert is_qwen3_directory(tmp_path)


def test_the_names_and_shapes_are_those_that_transformers_saves() -> None:
    config = make_config(**TINY_MOE)
    normalized = normalize(config)
    assert normalized.family.expected_tensors(normalized.dims) == tensor_shapes(config)


def test_an_absent_head_dim_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    sizes = {"num_attention_heads": 4, "hidden_size": 80, "head_dim": 20}
    directory = moe(tmp_path / "fits", **sizes)
    edit_config(directory, "head_dim")
    result = preflight(directory)
    assert result.problems == ()
    assert result.config["head_dim"] == 20

    directory = moe(tmp_path / "does not")
    edit_config(directory, "head_dim")
    (problem,) = preflight(directory).problems
    assert "has no head_dim, which defaults to 20, but the weights say 32" in problem.summary


def test_an_expert_beyond_the_routers_is_ignored_and_named(tmp_path: Path) -> None:
    directory = moe(tmp_path)
    extra = "model.layers.0.mlp.experts.6.up_proj.weight"
    edit_weights(directory, lambda tensors: tensors.update({extra: zeros(40, 80)}))
    result = preflight(directory)

    assert result.problems == ()
    assert len(result.warnings) == 1
    assert extra in result.warnings[0]


def test_with_a_shard_missing_the_shard_is_the_problem(tmp_path: Path) -> None:
    directory = moe(tmp_path)
    gone = weight_files(directory)[1]
    gone.unlink()
    (problem,) = preflight(directory).problems

    assert gone.name in problem.summary


def test_the_other_kind_is_refused_where_one_is_asked_for(tmp_path: Path) -> None:
    (problem,) = preflight(moe(tmp_path / "moe"), model_type="qwen3").problems
    assert "describes a Qwen3 mixture of experts" in problem.summary
    assert "Qwen3MoeForCausalLM" in str(problem)
    (problem,) = preflight(write_checkpoint(tmp_path / "dense"), model_type="qwen3_moe").problems
    assert "describes Qwen3, but" in problem.summary


def test_overrides_under_mindformers_names_are_judged(tmp_path: Path) -> None:
    directory = moe(tmp_path)
    good = {"num_moe_experts": 6, "moe_ffn_hidden_size": 40, "moe_router_topk": 2, "norm_topk_prob": True}
    assert preflight(directory, overrides=good).problems == ()
    (problem,) = preflight(directory, overrides={"num_moe_experts": 8}, overrides_source="predict.yaml").problems
    assert "predict.yaml says num_moe_experts: 8, but the weights say 6" in problem.summary
    (warning,) = preflight(directory, overrides={"moe_router_topk": 3}, overrides_source="predict.yaml").warnings
    assert "predict.yaml sets moe_router_topk to 3 over config.json's 2" in warning


def test_a_dense_model_has_no_experts(tmp_path: Path) -> None:
    result = preflight(write_checkpoint(tmp_path))
    assert (result.dims.num_experts, result.family.model_type) == (0, "qwen3")
    assert "num_experts" not in result.config
    assert set(TINY) <= set(result.config)
