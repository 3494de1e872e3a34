"""A quantized weight, seen as the tensor that it stands for: ``(code - zero) * scale``, in float32.

Every method that is known stores the codes as a matrix, and a scale, maybe with a zero, for each block of it. What
differs are the packing, the size of a block, and whether the matrix is transposed. A rectangle of the tensor is read
with the scales of the blocks that it touches, and dequantized some rows at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.quantization.stored_matrix import Array, StoredMatrix, rounded, to_float32
from mf_qwen3_patch.checkpoint.reading.read_file import Files, corrupt
from mf_qwen3_patch.errors import CorruptCheckpoint, InvalidValues, Problem

_ADVICE = "the checkpoint was saved broken or is damaged: download it again"


@dataclass(frozen=True, slots=True)
class Encoding:
    """The storage of one quantized weight.

    All matrices lie as the codes do, which may be ``transposed``: one row for each input feature. ``block`` are the
    rows and columns of codes that share a scale. With ``groups``, the number of each input feature's group is read from
    that tensor instead. The zero is that of the block plus ``zero_shift``, or ``zero_shift`` where there are no
    ``zeros``. The values are those of float32, or ``rounded`` to the scales' dtype, where the library computes in it.
    """

    method: str  # as reports name it
    codes: StoredMatrix
    scales: StoredMatrix
    block: tuple[int, int]
    zeros: StoredMatrix | None = None
    zero_shift: int = 0
    groups: TensorInfo | None = None
    transposed: bool = False
    rounded: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the tensor that it stands for."""
        rows, columns = self.codes.shape
        return (columns, rows) if self.transposed else (rows, columns)

    @property
    def row_step(self) -> int:
        """A number of rows after which a cut takes no word apart, and no block but one of all rows."""
        axis = 1 if self.transposed else 0
        packed = [matrix.packed for matrix in (self.codes, self.zeros) if matrix is not None and matrix.axis == axis]
        return math.lcm(*packed, 1 if self.block[axis] >= self.codes.shape[axis] else self.block[axis])

    def nbytes(self, rows: range, columns: range) -> int:
        """Return the bytes that are read for a rectangle of the tensor."""
        spans, blocks = self._spans(rows, columns)
        count = self.codes.nbytes(*spans) + self.scales.nbytes(*blocks)
        count += 0 if self.zeros is None else self.zeros.nbytes(*blocks)
        return count if self.groups is None else count + StoredMatrix(self.groups).nbytes(columns, range(1))

    def read(self, files: Files, rows: range, columns: range) -> EncodedRectangle:
        """Read a rectangle of the tensor, as it is stored.

        Raises InvalidValues for a scale that is not finite, CorruptCheckpoint for a group that there is not, or if a
        file can't be read.
        """
        spans, blocks = self._spans(rows, columns)
        # Of each code, which scale of those that are read is its own.
        places = [
            np.arange(span.start, span.stop) // size - block.start
            for span, size, block in zip(spans, self.block, blocks, strict=True)
        ]
        if self.groups is not None:
            places[0 if self.transposed else 1] = self._groups(files, self.groups, columns)
        scales = to_float32(self.scales.read(files, *blocks), self.scales.tensor.dtype)
        self._refuse_not_finite(scales)
        zeros = np.full((1, 1), self.zero_shift, np.float32)
        if self.zeros is not None:
            zeros = zeros + to_float32(self.zeros.read(files, *blocks), self.zeros.tensor.dtype)
        return EncodedRectangle(self, self.codes.read(files, *spans), scales, zeros, (places[0], places[1]))

    def _spans(self, rows: range, columns: range) -> tuple[tuple[range, range], tuple[range, range]]:
        """Return a rectangle's rows and columns of codes, and those of their scales."""
        spans = (columns, rows) if self.transposed else (rows, columns)
        first, second = (
            range(span.start // size, -(-span.stop // size)) for span, size in zip(spans, self.block, strict=True)
        )
        if self.groups is not None:  # any of them
            grouped = range(self.scales.shape[0 if self.transposed else 1])
            first, second = (grouped, second) if self.transposed else (first, grouped)
        return spans, (first, second)

    def _groups(self, files: Files, tensor: TensorInfo, columns: range) -> Array:
        groups = StoredMatrix(tensor).read(files, columns, range(1))[:, 0]
        axis = 0 if self.transposed else 1
        count = self.scales.shape[axis]
        if (groups == -1).all():  # compressed-tensors: they follow each other
            groups = np.arange(columns.start, columns.stop) // self.block[axis]
        if groups.min() >= 0 and groups.max() < count:
            return groups
        summary = f"{tensor.name} names a group that has no scale"
        found, expected = f"{groups.min()} to {groups.max()}", f"groups from 0 to {count - 1}"
        problem = corrupt(tensor.file.name, summary, expected, found, _ADVICE, tensor.name)
        raise CorruptCheckpoint([problem], str(tensor.file.parent))

    def _refuse_not_finite(self, scales: Array) -> None:
        wrong = int(np.count_nonzero(~np.isfinite(scales)))
        if wrong:
            raise self.unusable("NaN or infinite", f"{wrong} NaN or infinite among {scales.size}")

    def unusable(self, what: str, found: str) -> InvalidValues:
        """Return the error of a scale that no weight can have been divided by."""
        tensor = self.scales.tensor
        summary = f"{tensor.name} has scales that are {what}, so that the weights are lost"
        where = {"file": tensor.file.name, "tensor": tensor.name, "expected": "finite scales, not 0", "found": found}
        return InvalidValues([Problem(InvalidValues, summary, **where, advice=_ADVICE)], str(tensor.file.parent))


@dataclass(frozen=True, slots=True)
class EncodedRectangle:
    """A rectangle of a tensor, as it is stored, on its way to being dequantized."""

    encoding: Encoding
    codes: Array
    scales: Array  # of the blocks
    zeros: Array  # of the blocks, or one for all
    places: tuple[Array, Array]  # of each row and column of codes: which row and column of scales is theirs

    def values(self, start: int, stop: int) -> Array:
        """Return rows of the rectangle, dequantized: float32, contiguous.

        Raises InvalidValues if a scale is 0 where the codes are not.
        """
        rows, columns = self.places
        part = (slice(None), slice(start, stop)) if self.encoding.transposed else (slice(start, stop), slice(None))
        rows, columns = rows[part[0]], columns[part[1]]
        values = to_float32(self.codes[part], "U8" if self.encoding.codes.bits else self.encoding.codes.tensor.dtype)
        if self.zeros.size > 1 or self.zeros[0, 0]:
            values -= _spread(self.zeros, rows, columns)
        scales = _spread(self.scales, rows, columns)
        if not scales.all() and np.where(scales == 0, values, 0).any():
            raise self.encoding.unusable("0 where the weights are not", "0")
        values *= scales
        if self.encoding.rounded:
            values = rounded(values, self.encoding.scales.tensor.dtype)
        return np.ascontiguousarray(values.T) if self.encoding.transposed else values


def _spread(grid: Array, rows: Array, columns: Array) -> Array:
    """Return what a grid of blocks has for each row and column; an axis of length 1 is left to broadcasting."""
    if grid.shape[1] > 1:
        grid = np.take(grid, columns, axis=1)
    return grid if grid.shape[0] == 1 else np.take(grid, rows, axis=0)


@dataclass(frozen=True, slots=True)
class QuantizedTensor(ComputedTensor):
    """A tensor that is dequantized while it is read; its file and offset are those of the codes."""

    encoding: Encoding
