"""After a load the network is compared with the files, so that no wrong load passes for a right one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor
from tests.mindformers.loading.transfer.stock import as_rank, build, load_with_shim, verify
from tests.support.checkpoints import edit_weights, write_checkpoint, zeros

from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.errors import CheckpointWarning, LoadNotProven
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.plan import Plan

QKV = "decoder.layers.1.self_attention.linear_qkv.weight"
FC1 = "decoder.layers.0.mlp.linear_fc1.weight"
PROJECTION = "decoder.layers.0.self_attention.linear_proj.weight"
NORM = "decoder.layers.1.self_attention.k_layernorm.weight"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "hf", dtype="BF16", shards=2)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("strict", [False, True], ids=["sampled", "strict"])
def test_a_right_load_is_proven(directory: Path, dtype: str, strict: bool) -> None:
    model = build(directory, dtype)
    proof = verify(model, *load_with_shim(model, directory), strict=strict)

    tensors = open_checkpoint(directory).tensors.values()
    assert (proof.parameters, proof.fused, proof.slices) == (19, 4, 25)
    assert proof.rows == sum(tensor.shape[0] if len(tensor.shape) == 2 else 1 for tensor in tensors)
    assert (proof.rows_compared == proof.rows) is strict
    assert proof.values_checked == sum(tensor.nbytes for tensor in tensors) // 2
    assert (proof.nan_inf, proof.all_zero) == (0, ())
    assert json.loads(json.dumps(dataclasses.asdict(proof)))["rows"] == proof.rows


def test_a_right_load_is_proven_on_every_rank(directory: Path) -> None:
    for rank in range(4):
        with as_rank(rank, 4):
            model = build(directory)
            proof = verify(model, *load_with_shim(model, directory), strict=True)
        assert proof.slices == 25


def _interleave(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(2, -1, rows.shape[1]).swapaxes(0, 1).reshape(rows.shape)


def _swap_keys_and_values(rows: np.ndarray) -> np.ndarray:
    queries, keys, values = np.split(rows, [128, 192])
    return np.concatenate([queries, values, keys])


WRONG: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "gate and up interleaved, as for training": (FC1, _interleave),
    "gate and up exchanged": (FC1, lambda rows: np.roll(rows, len(rows) // 2, axis=0)),
    "keys and values exchanged": (QKV, _swap_keys_and_values),
    "not written": (QKV, np.zeros_like),
    "a matrix transposed": (PROJECTION, lambda rows: rows.T.reshape(rows.shape)),
    "the last row missing": (PROJECTION, lambda rows: np.concatenate([rows[:-1], rows[:1] * 0])),
    "a norm left at ones": (NORM, np.ones_like),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_load_is_not_proven(directory: Path, fault: str) -> None:
    name, change = WRONG[fault]
    model, plan, stats = _loaded(directory)
    _overwrite(model, name, change)

    with pytest.raises(LoadNotProven) as caught:
        verify(model, plan, stats)

    message = str(caught.value)
    assert name in message
    assert any(
        copy.tensor.name in message and copy.tensor.file.name in message
        for entry in plan.parameters
        if entry.name == name
        for copy in entry.copies
    )


def test_strict_finds_one_wrong_value_anywhere(directory: Path) -> None:
    model, plan, stats = _loaded(directory)

    def change(rows: np.ndarray) -> np.ndarray:
        rows[7, 3] = np.nextafter(rows[7, 3], np.float32(9))
        return rows

    _overwrite(model, FC1, change)

    with pytest.raises(LoadNotProven, match=r"row 7, column 3 .*model\.layers\.0\.mlp\.gate_proj\.weight"):
        verify(model, plan, stats, strict=True)


def test_a_parameter_that_was_left_out_is_not_proven(directory: Path) -> None:
    model, plan, stats = _loaded(directory)
    fewer = dataclasses.replace(stats, written=tuple(name for name in stats.written if name != NORM))

    with pytest.raises(LoadNotProven, match=NORM):
        verify(model, plan, fewer)


def test_a_parameter_that_was_never_filled_is_not_proven(directory: Path) -> None:
    _, plan, stats = _loaded(directory)

    with pytest.raises(LoadNotProven, match="holds no data"):
        verify(build(directory), plan, stats)


def test_a_parameter_of_another_dtype_is_not_proven(directory: Path) -> None:
    _, plan, stats = _loaded(directory)
    other = build(directory, "float16")
    load_with_shim(other, directory)

    with pytest.raises(LoadNotProven, match=r"should be float32 .* but is float16"):
        verify(other, plan, stats)


def test_weights_that_are_zero_in_the_checkpoint_are_a_warning(directory: Path) -> None:
    gate, up = (f"model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up"))
    key = "model.layers.1.self_attn.k_proj.weight"
    for name in (gate, up, key):
        edit_weights(directory, lambda t, name=name: t.update({name: zeros(*t[name].shape, dtype="BF16")}))
    model, plan, stats = _loaded(directory)

    # Q and V, with which that K is merged, are not zero.
    with pytest.warns(CheckpointWarning, match=r"3 tensor\(s\) zero throughout: ") as caught:
        proof = verify(model, plan, stats)

    assert all(name in str(caught[0].message) for name in (gate, up, key))
    assert set(proof.all_zero) == {gate, up, key}


def _loaded(directory: Path) -> tuple[Any, Plan, Any]:
    model = build(directory)
    return model, *load_with_shim(model, directory)


def _overwrite(model: Any, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    parameter = network_parameters(model)[name]
    parameter.set_data(Tensor.from_numpy(np.ascontiguousarray(change(parameter.asnumpy().copy()))))
