"""Cutting a plan into pieces of work that threads can share evenly, and reading them without mmap.

Faulting a mapped file in page by page is slow on network disks, and an I/O error there kills the
process; ``preadv`` reads as much as it is asked for and returns what went wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mf_qwen3_patch.checkpoint.files.read_file import CheckpointFile
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS, TensorInfo
from mf_qwen3_patch.families.layout import StridedCopy
from mf_qwen3_patch.loading.transfer.cast import Bits
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy

# Large enough for a disk to read in one go, small enough that no thread is left with much more than the others.
_PIECE_BYTES = 8 << 20
# Rows of less than this, close to each other, are read together with what is between them.
_SHORT_ROW_BYTES = 16 << 10
_WIDEST_GAP = 4  # in rows

Piece: TypeAlias = tuple[ParameterPlan, SliceCopy]
"""Work for one thread: a part of what is copied into a parameter."""


def pieces_of(parameters: Iterable[ParameterPlan]) -> list[Piece]:
    """Return the work of loading some parameters in the order of the files, so that disks read forwards."""
    pieces = []
    for parameter in parameters:
        for copy in parameter.copies:
            itemsize = DTYPE_BITS[copy.tensor.dtype] // 8
            for part in copy.region.split(_PIECE_BYTES // itemsize):
                offset = copy.tensor.offset + part.source * itemsize
                pieces.append((str(copy.tensor.file), offset, (parameter, SliceCopy(copy.tensor, part))))
    return [piece for *_, piece in sorted(pieces, key=lambda entry: entry[:2])]


def prefetch(file: CheckpointFile, tensor: TensorInfo, region: StridedCopy, itemsize: int) -> None:
    """Have the system read rows with gaps as one: small reads with gaps would defeat its read-ahead."""
    if region.rows > 1:
        offset, length = tensor.offset + region.source * itemsize, region.source_stride * region.rows * itemsize
        os.posix_fadvise(file.descriptor, offset, length, os.POSIX_FADV_WILLNEED)


def read_region(file: CheckpointFile, tensor: TensorInfo, region: StridedCopy, out: Bits) -> int:
    """Read the elements that are copied of a tensor, row after row, and return the bytes that were read into ``out``.

    ``out`` has one axis, is contiguous, ``region.elements`` long, and of the item size of the tensor's dtype. A file
    that ends too early or that the system can't read is a ``CorruptCheckpoint``.
    """
    memory = out.data.cast("B")
    offset = tensor.offset + region.source * out.itemsize
    length, stride = region.columns * out.itemsize, region.source_stride * out.itemsize
    if region.rows > 1 and length < _SHORT_ROW_BYTES and stride <= _WIDEST_GAP * length:
        span = np.empty((region.rows - 1) * stride + length, np.uint8)
        file.read_at(offset, span.data, tensor.name)
        rows = as_strided(span, (region.rows, length), (stride, 1))
        np.frombuffer(memory, np.uint8).reshape(region.rows, length)[...] = rows
        return memory.nbytes
    for number in range(region.rows):
        file.read_at(offset + number * stride, memory[number * length : (number + 1) * length], tensor.name)
    return memory.nbytes
