"""Merged weights are those of PEFT's ``merge_and_unload``, bit for bit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tests.support import lora_oracle
from tests.support.checkpoints import decode, read_safetensors
from tests.support.lora import all_tensors
from tests.support.processes import ROOT

from mf_qwen3_patch.checkpoint.adapter.merge import merged
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.location.resolve import with_adapter
from mf_qwen3_patch.families.qwen3 import QWEN3

DATA = ROOT / "tests" / "reference_data" / "lora"
CASES = sorted(lora_oracle.CASES)


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint32)


def values_of(checkpoint: Checkpoint, name: str, rows: range | None = None, columns: range | None = None) -> np.ndarray:
    """Return a rectangle of a tensor, read in two halves."""
    tensor = checkpoint.tensors[name]
    if not isinstance(tensor, ComputedTensor):
        content = checkpoint.file(tensor.file).read(tensor.offset, tensor.nbytes)
        return np.frombuffer(content, np.float32).reshape(tensor.shape)
    rows, columns = rows or range(tensor.shape[0]), columns or range(tensor.shape[1])
    rectangle = tensor.encoding.read(checkpoint.file, rows, columns)
    half = len(rows) // 2
    return np.concatenate([rectangle.values(0, half), rectangle.values(half, len(rows))])


def test_there_is_a_directory_for_each_case() -> None:
    assert sorted(path.name for path in DATA.iterdir()) == CASES


@pytest.mark.parametrize("case", CASES)
def test_the_merged_model_is_pefts(case: str, tmp_path: Path) -> None:
    base = lora_oracle.write_base(tmp_path / "base")
    expected = {name: decode(raw) for name, raw in read_safetensors(DATA / case / "expected.safetensors").items()}

    with open_checkpoint(with_adapter(base, DATA / case)) as opened:
        checkpoint = merged(opened, QWEN3, tied=False)
        found = {name: values_of(checkpoint, name) for name in checkpoint.tensors}

    assert (checkpoint.problems, checkpoint.warnings) == ((), ())
    original = {name: decode(raw) for name, raw in all_tensors(base).items()}
    assert found.keys() == original.keys()
    wanted = original | expected
    assert [name for name in found if not np.array_equal(bits(found[name]), bits(wanted[name]))] == []


@pytest.mark.parametrize("rows", [range(40), range(7, 8), range(15, 33)], ids=str)
@pytest.mark.parametrize("columns", [range(56), range(55, 56), range(9, 30)], ids=str)
def test_any_rectangle_is_that_of_the_whole(rows: range, columns: range, tmp_path: Path) -> None:
    base, name = lora_oracle.write_base(tmp_path / "base"), "model.layers.1.mlp.down_proj.weight"
    expected = decode(read_safetensors(DATA / "mlp" / "expected.safetensors")[name])

    with open_checkpoint(with_adapter(base, DATA / "mlp")) as opened:
        found = values_of(merged(opened, QWEN3, tied=False), name, rows, columns)

    assert np.array_equal(bits(found), bits(expected[rows.start : rows.stop, columns.start : columns.stop]))


@pytest.mark.oracle
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in lora_oracle.SOURCES),
    reason=f"needs {', '.join(lora_oracle.SOURCES)}",
)
@pytest.mark.parametrize("case", CASES)
def test_peft_still_says_so(case: str, tmp_path: Path) -> None:
    base = lora_oracle.write_base(tmp_path / "base")
    live = lora_oracle.make(base, tmp_path / "adapter", lora_oracle.CASES[case])
    stored = {name: decode(raw) for name, raw in read_safetensors(DATA / case / "expected.safetensors").items()}

    assert live.keys() == stored.keys()
    assert [name for name in live if not np.array_equal(bits(live[name].numpy()), bits(stored[name]))] == []
