"""What cannot be loaded is known before a byte is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindformers.parallel_core.inference.tensor_parallel.layers import ColumnParallelLinear
from numpy.lib.stride_tricks import as_strided
from tests.mindformers.loading.transfer.stock import as_rank, build, plan_for
from tests.support.checkpoints import write_checkpoint

from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, UnsupportedCheckpoint
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.loading.transfer import planner as planning
from mf_qwen3_patch.loading.transfer.plan import Plan, SliceCopy
from mf_qwen3_patch.loading.transfer.planner import plan
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible


def _source_in(copy: SliceCopy, flat: np.ndarray) -> np.ndarray:
    """Return the elements that are copied of a flattened tensor, as ``[rows, columns]``; it shares memory."""
    region = copy.region
    steps = (region.source_stride * flat.itemsize, flat.itemsize)
    return as_strided(flat[region.source :], (region.rows, region.columns), steps)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "hf", shards=2)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_every_element_of_every_parameter_is_written_once(directory: Path, ranks: int) -> None:
    for rank in range(ranks):
        with as_rank(rank, ranks):
            loading = plan_for(build(directory), directory)
        for entry in loading.parameters:
            times = np.zeros(math.prod(entry.shape), int)
            for copy in entry.copies:
                written = copy.target_in(times)
                written += 1
                assert _source_in(copy, np.empty(math.prod(copy.tensor.shape), bool)).shape == written.shape
            assert (times == 1).all(), entry.name


def test_every_element_of_every_tensor_is_read_by_some_rank(directory: Path) -> None:
    read: dict[str, np.ndarray] = {}
    for rank in range(4):
        with as_rank(rank, 4):
            loading = plan_for(build(directory), directory)
        for entry in loading.parameters:
            for copy in entry.copies:
                seen = read.setdefault(copy.tensor.name, np.zeros(math.prod(copy.tensor.shape), bool))
                _source_in(copy, seen)[...] = True

    assert read.keys() == open_checkpoint(directory).tensors.keys()
    assert [name for name, seen in read.items() if not seen.all()] == []


def test_a_tied_model_has_no_use_for_an_output_layer(directory: Path) -> None:
    loading = plan_for(build(directory, tie_word_embeddings=True), directory)

    assert loading.unused == ("lm_head.weight",)
    assert len(loading.parameters) == 18


def test_a_missing_tensor_is_named_by_the_parameter_that_needs_it(directory: Path) -> None:
    with pytest.raises(IncompleteCheckpoint) as caught:
        _plan_without(directory, "model.layers.1.self_attn.v_proj.weight", "model.norm.weight")

    assert {problem.parameter for problem in caught.value.problems} == {
        "decoder.layers.1.self_attention.linear_qkv.weight",
        "decoder.final_layernorm.weight",
    }
    assert "decoder.layers.1.self_attention.linear_v.weight" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "tensor"),
    [
        ("vocab_size", 128, "model.embed_tokens.weight"),
        ("intermediate_size", 64, "model.layers.0.mlp.up_proj.weight"),
        ("num_key_value_heads", 4, "model.layers.0.self_attn.k_proj.weight"),
        ("hidden_size", 96, "model.norm.weight"),
    ],
)
def test_another_shape_in_the_network_is_a_config_mismatch(
    directory: Path, field: str, value: int, tensor: str
) -> None:
    with pytest.raises(ConfigMismatch) as caught:
        plan_for(build(directory, **{field: value}), directory)

    problem = next(problem for problem in caught.value.problems if problem.tensor == tensor)
    shape = list(open_checkpoint(directory).tensors[tensor].shape)
    assert str(shape) in str(problem.found)
    assert str(shape) not in str(problem.expected)
    assert problem.file is not None


def test_two_names_for_one_weight_are_an_error(directory: Path) -> None:
    tensors = dict(open_checkpoint(directory).tensors)
    tensors["output_layer.weight"] = tensors["lm_head.weight"]

    with pytest.raises(UnsupportedCheckpoint, match=r"lm_head\.weight and output_layer\.weight"):
        plan(build(directory), tensors, QWEN3)


def test_weights_that_are_merged_already_are_left_to_stock(directory: Path) -> None:
    tensors = dict(open_checkpoint(directory).tensors)
    tensors["decoder.layers.0.mlp.linear_fc1.weight"] = tensors.pop("model.layers.0.mlp.up_proj.weight")

    with pytest.raises(PlanNotPossible, match="merged already"):
        plan(build(directory), tensors, QWEN3)


def test_an_unknown_kind_of_layer_is_left_to_stock(directory: Path) -> None:
    class Quantized(ColumnParallelLinear):
        pass

    model: Any = build(directory)
    model.model.output_layer.__class__ = Quantized

    with pytest.raises(PlanNotPossible, match=r"output_layer\.weight belongs to a Quantized"):
        plan_for(model, directory)


def test_a_310p_is_left_to_stock(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "is_310p", lambda: True)

    with pytest.raises(PlanNotPossible, match="310P"):
        plan_for(build(directory), directory)


def _plan_without(directory: Path, *names: str) -> Plan:
    tensors = {name: info for name, info in open_checkpoint(directory).tensors.items() if name not in names}
    return plan(build(directory), tensors, QWEN3)
