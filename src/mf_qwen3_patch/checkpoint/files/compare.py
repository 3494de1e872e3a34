"""Comparing stored tensors, a stretch at a time, as far as the first difference."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile

_STRETCH = 4 * 1024 * 1024


def same_bytes(first: TensorInfo, second: TensorInfo, open_file: Callable[[Path], CheckpointFile]) -> bool:
    """Return whether two tensors have one dtype, shape and content; raises CorruptCheckpoint if one can't be read."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    files = open_file(first.file), open_file(second.file)
    for start in range(0, first.nbytes, _STRETCH):
        count = min(_STRETCH, first.nbytes - start)
        one, other = (
            file.read(tensor.offset + start, count) for file, tensor in zip(files, (first, second), strict=True)
        )
        if one != other:
            return False
    return True


def is_zero(tensor: TensorInfo, open_file: Callable[[Path], CheckpointFile]) -> bool:
    """Return whether every element of a tensor of floating-point numbers is 0 or -0; raises as ``same_bytes``."""
    if not tensor.nbytes:
        return True
    size = tensor.nbytes // prod(tensor.shape)
    data = open_file(tensor.file).read(tensor.offset, tensor.nbytes)
    # The sign is the highest bit of the last byte of an element, which is stored first byte first.
    return not any(data[position::size].strip(b"\0") for position in range(size - 1)) and not any(
        data[size - 1 :: size].strip(b"\0\x80")
    )
