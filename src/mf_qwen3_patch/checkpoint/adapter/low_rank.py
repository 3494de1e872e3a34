"""A weight with a LoRA adapter merged into it: ``base + scaling * (B @ A)``, in float32.

Source: PEFT 0.21, tuners/lora/layer.py (``get_delta_weight`` of Linear and Embedding, ``merge``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mf_qwen3_patch.checkpoint.files.computed_tensor import Array, ComputedTensor, Rectangle, finite
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.quantization.stored_matrix import StoredMatrix, to_float32
from mf_qwen3_patch.checkpoint.reading.read_file import Files
from mf_qwen3_patch.errors import InvalidValues, Problem

# Products are always computed in tiles of this size, so that the bits of a value never depend on what else is read.
_TILE_ROWS, _TILE_COLUMNS = 32, 1024


@dataclass(frozen=True, slots=True)
class LowRankUpdate:
    """The sources of one merged weight.

    ``left`` holds ``[rows, rank]`` and ``right`` ``[rank, columns]``; of an embedding both are ``transposed_factors``.
    """

    base: TensorInfo
    left: TensorInfo
    right: TensorInfo
    scaling: float
    transposed_factors: bool = False

    @property
    def method(self) -> str:
        """The method, as reports name it."""
        return "LoRA"

    @property
    def transposed(self) -> bool:
        """Whether the base's file has together what are the columns of the weight."""
        return isinstance(self.base, ComputedTensor) and self.base.encoding.transposed

    @property
    def row_step(self) -> int:
        """A number of rows after which a cut costs nothing."""
        return self.base.encoding.row_step if isinstance(self.base, ComputedTensor) else _TILE_ROWS

    @property
    def rank(self) -> int:
        """The length of the axis that the product sums over."""
        return self.right.shape[1 if self.transposed_factors else 0]

    def nbytes(self, rows: range, columns: range) -> int:
        """Return the bytes that are read for a rectangle of the weight."""
        if isinstance(self.base, ComputedTensor):
            own = self.base.encoding.nbytes(rows, columns)
        else:
            own = StoredMatrix(self.base).nbytes(rows, columns)
        left, right = self._places(rows, columns)
        return own + StoredMatrix(self.left).nbytes(*left) + StoredMatrix(self.right).nbytes(*right)

    def read(self, files: Files, rows: range, columns: range) -> MergedRectangle:
        """Read a rectangle's sources.

        Raises InvalidValues for what is not finite in the adapter, CorruptCheckpoint if a file can't be read.
        """
        left, right = (
            _factor(tensor, files, place)
            for tensor, place in zip((self.left, self.right), self._places(rows, columns), strict=True)
        )
        if self.transposed_factors:
            left, right = left.T, right.T
        if isinstance(self.base, ComputedTensor):
            own: Array | Rectangle = self.base.encoding.read(files, rows, columns)
        else:
            own = StoredMatrix(self.base).read(files, rows, columns)
        return MergedRectangle(self, own, left, _in_tiles(right, columns), rows.start, columns.start)

    def _places(self, rows: range, columns: range) -> tuple[tuple[range, range], tuple[range, range]]:
        """Return the rows and columns of the factors, as they are stored, that a rectangle needs."""
        ranks = range(self.rank)
        if self.transposed_factors:
            return (ranks, rows), (columns, ranks)
        return (rows, ranks), (ranks, columns)


def _factor(tensor: TensorInfo, files: Files, place: tuple[range, range]) -> Array:
    values = to_float32(StoredMatrix(tensor).read(files, *place), tensor.dtype)
    if finite(values):
        return values
    wrong = int(np.count_nonzero(~np.isfinite(values)))
    summary = f"{tensor.name} of the adapter has values that are NaN or infinite"
    where = {"file": tensor.file.name, "tensor": tensor.name, "expected": "finite values"}
    advice = "the training diverged, or the file is damaged: use an earlier checkpoint of the adapter"
    problem = Problem(InvalidValues, summary, **where, found=f"{wrong} of {values.size}", advice=advice)
    raise InvalidValues([problem], str(tensor.file.parent))


@dataclass(frozen=True, slots=True)
class MergedRectangle:
    """A rectangle of a merged weight, whose sources have been read."""

    update: LowRankUpdate
    base: Array | Rectangle
    left: Array  # [rows, rank]
    tiles: Sequence[tuple[range, Array]]  # of the columns, ``[rank, columns]`` laid into a whole tile
    first_row: int
    first_column: int

    def values(self, start: int, stop: int) -> Array:
        """Return rows of the rectangle, merged: float32, contiguous."""
        if isinstance(self.base, np.ndarray):
            values = to_float32(self.base[start:stop], self.update.base.dtype)
        else:
            values = self.base.values(start, stop)
        scaling = np.float32(self.update.scaling)
        for rows in _tiles(self.first_row + start, self.first_row + stop, _TILE_ROWS):
            left = np.zeros((_TILE_ROWS, self.update.rank))
            row, first = rows.start % _TILE_ROWS, rows.start - self.first_row
            left[row : row + len(rows)] = self.left[first : first + len(rows)]
            for columns, right in self.tiles:
                # In float64, which is as good as exact once it is rounded.
                column, place = columns.start % _TILE_COLUMNS, columns.start - self.first_column
                product = (left @ right)[row : row + len(rows), column : column + len(columns)].astype(np.float32)
                product *= scaling
                values[first - start : first - start + len(rows), place : place + len(columns)] += product
        return values


def _in_tiles(right: Array, columns: range) -> list[tuple[range, Array]]:
    tiles = []
    for part in _tiles(columns.start, columns.stop, _TILE_COLUMNS):
        tile, column, place = (
            np.zeros((len(right), _TILE_COLUMNS)),
            part.start % _TILE_COLUMNS,
            part.start - columns.start,
        )
        tile[:, column : column + len(part)] = right[:, place : place + len(part)]
        tiles.append((part, tile))
    return tiles


def _tiles(start: int, stop: int, size: int) -> list[range]:
    """Cut a span at the multiples of a size."""
    cuts = [start, *range(start - start % size + size, stop, size), stop]
    return [range(first, last) for first, last in pairwise(cuts)]
