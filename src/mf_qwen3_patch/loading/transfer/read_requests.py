"""Cutting a plan into pieces of work that threads can share evenly, and reading them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias

import numpy as np

from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.reading.read_file import Files
from mf_qwen3_patch.checkpoint.reading.read_rows import announce_rows, read_rows
from mf_qwen3_patch.families.layout import StridedCopy
from mf_qwen3_patch.loading.transfer.cast import Bits, Dtype
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy

Piece: TypeAlias = tuple[ParameterPlan, SliceCopy]
"""Work for one thread: a part of what is copied into a parameter."""


def pieces_of(parameters: Iterable[ParameterPlan]) -> list[Piece]:
    """Return the work of loading some parameters in the order of the files, so that disks read forwards."""
    pieces = [
        (str(copy.tensor.file), piece.offset, (parameter, piece))
        for parameter in parameters
        for copy in parameter.copies
        for piece in copy.pieces()
    ]
    return [piece for *_, piece in sorted(pieces, key=lambda entry: entry[:2])]


class ChunkReader(Protocol):
    """Reads a piece, chunk by chunk."""

    def chunks(self, most: int) -> Iterator[StridedCopy]:
        """Cut the piece into copies of about ``most`` elements."""
        ...

    def read(self, chunk: StridedCopy, out: Bits) -> int:
        """Write the bits of a chunk's values, row after row, into ``out``, and return the bytes that were read for it.

        ``out`` has one axis, is contiguous and ``chunk.elements`` long. Raises a CheckpointError if a file ends too
        early or can't be read, or the values can't be known.
        """
        ...


def reader_of(copy: SliceCopy, files: Files, values: Dtype) -> ChunkReader:
    """Return what reads a piece, whose tensor has values of a dtype when they are read."""
    if isinstance(copy.tensor, ComputedTensor):
        return _Computing(copy, copy.tensor, files)
    return _Plain(copy, files, values.itemsize)


class _Plain:
    def __init__(self, copy: SliceCopy, files: Files, itemsize: int) -> None:
        self._region, self._tensor, self._file = copy.region, copy.tensor, files(copy.tensor.file)
        stride, length = copy.region.source_stride * itemsize, copy.region.columns * itemsize
        announce_rows(self._file, copy.offset, stride, length, copy.region.rows)

    def chunks(self, most: int) -> Iterator[StridedCopy]:
        return self._region.split(most)

    def read(self, chunk: StridedCopy, out: Bits) -> int:
        offset, stride = self._tensor.offset + chunk.source * out.itemsize, chunk.source_stride * out.itemsize
        return read_rows(self._file, offset, stride, out.data.cast("B"), chunk.rows, self._tensor.name)


class _Computing:
    """Reads the sources of the whole piece, and computes some rows at a time."""

    def __init__(self, copy: SliceCopy, tensor: ComputedTensor, files: Files) -> None:
        self._region, self._unread = copy.region, copy.nbytes
        self._rectangle = tensor.encoding.read(files, *copy.rectangle)

    def chunks(self, most: int) -> Iterator[StridedCopy]:
        rows, together = self._region.rows, max(1, most // self._region.columns)
        return (self._region.some_rows(row, min(together, rows - row)) for row in range(0, rows, together))

    def read(self, chunk: StridedCopy, out: Bits) -> int:
        first = (chunk.source - self._region.source) // self._region.source_stride
        values = self._rectangle.values(first, first + chunk.rows)
        np.copyto(out, values.reshape(-1).view(out.dtype))
        read, self._unread = self._unread, 0
        return read
