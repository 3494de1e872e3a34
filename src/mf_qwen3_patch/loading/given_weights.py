"""Weights that a program hands over tensor by tensor: they become a directory for a while, and that is loaded.

So they get every check, the slices of a rank, and the verification; and of an iterator that makes its tensors as it
goes, no more than a part is in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.checkpoint.files.index import INDEX_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import STORED_NAMES
from mf_qwen3_patch.checkpoint.reading.strict_json import json_bytes
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import weight_map, write_small
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewFile, NewTensor
from mf_qwen3_patch.errors import IncompleteCheckpoint, Problem, error_for
from mf_qwen3_patch.loading.pretrained import load_weights
from mf_qwen3_patch.loading.report import LoadReport
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.loading.runtime.ranks import Ranks
from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, Array

_FILE_BYTES = 1 << 30


def load_given(model: Any, weights: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> LoadReport:
    """Load a dict of tensors, or pairs of name and tensor, with the names of HuggingFace or of MindFormers.

    Tensors are MindSpore's, torch's, numpy's, or slices of safetensors. They are written to a temporary directory
    (below ``TMPDIR``) by every rank, so that they need room on the disk. Raises as ``load_weights``, and TypeError for
    what is no tensor of floating-point numbers, ValueError for a name that comes twice.
    """
    with TemporaryDirectory(prefix="mf_qwen3_patch-weights-") as temporary:
        root = Path(temporary)
        with Ranks.of_model().step():
            if not (names := _write(root, weights)):
                what = "weights= has no tensors: it is empty, or an iterator that was read before"
                raise error_for(
                    [Problem(IncompleteCheckpoint, what, advice="pass every tensor of the model, or a directory")]
                )
            write_small(root / INDEX_NAME, json_bytes({"metadata": {}, "weight_map": names}))
        return load_weights(model, root)


def _write(root: Path, weights: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Write the tensors into files of a limited size; return in which file each of them is."""
    names: dict[str, str] = {}
    waiting: list[NewTensor] = []

    def write() -> None:
        file = NewFile(f"weights-{len(set(names.values())) + 1:05d}.safetensors", tuple(waiting), {"format": "pt"})
        file.write(root, lambda _: None)
        names.update(weight_map([file]))
        waiting.clear()

    for name, value in weights.items() if isinstance(weights, Mapping) else weights:
        if name in names or any(tensor.name == name for tensor in waiting):
            raise ValueError(f"weights= has {short_repr(name)} twice: which one is meant can't be told")
        waiting.append(_tensor(name, value))
        if sum(tensor.nbytes for tensor in waiting) >= _FILE_BYTES:
            write()
    if waiting:
        write()
    return names


def _tensor(name: str, value: Any) -> NewTensor:
    array = _array(value)
    dtype = STORED_NAMES.get(array.dtype.name)
    if dtype is None:
        raise TypeError(
            f"weights= has {short_repr(name)} as {array.dtype}: a tensor of floating-point numbers is needed"
        )

    def make() -> Iterator[Array]:
        yield np.ascontiguousarray(array)

    return NewTensor(name, dtype, array.shape, make)


def _array(value: Any) -> Array:
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.dtype != torch.bfloat16:
            return to_numpy(value.numpy())
        bits: Array = value.view(torch.int16).numpy()  # numpy has no bfloat16 that torch knows
        return bits.view(TARGET_DTYPES["bfloat16"])
    return to_numpy(value[:] if hasattr(value, "get_shape") else value)
