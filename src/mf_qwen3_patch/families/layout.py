"""The place of each part in a fused parameter, in MindFormers' two layouts, and the note that tells them apart.

Query, key and value become one matrix, gate and up another, in one of two layouts whose names and shapes are
the same. Both follow one rule: each part is cut into the same number of blocks of rows, and the blocks of the
same number lie together. In the inference layout there is one block (Q|K|V, gate|up). In the training
layout attention has a block for each key/value head, with the queries that share it, and the MLP one for each row.

The experts of a mixture have one block in both. Their matrices are transposed, and follow each other in one parameter:
the inference layout has an axis for the expert, the training layout has not.

Everything here is integer arithmetic: a ``Placement`` says where the elements of a matrix are in an array, and two
placements make the copies from one array to the other, in either direction.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias

from mf_qwen3_patch.families.tensors import Shape

Layout: TypeAlias = Literal["inference", "training"]

INFERENCE: Layout = "inference"
TRAINING: Layout = "training"

LAYOUT_KEY = "mf_qwen3_patch.layout"
"""The key in a safetensors file's metadata whose value is the layout: names and shapes do not tell."""

RANKS_KEY = "mf_qwen3_patch.tensor_parallel"
RANK_KEY = "mf_qwen3_patch.rank"
"""With ``RANKS_KEY``, in the files of one tensor-parallel rank: which one, of how many."""


def layout_metadata(layout: Layout, *, rank: int = 0, ranks: int = 1) -> dict[str, str]:
    """Return what the metadata of a file say: its layout and, if its parameters are sliced, which rank of how many."""
    metadata = {LAYOUT_KEY: str(layout)}
    return metadata if ranks == 1 else {**metadata, RANKS_KEY: str(ranks), RANK_KEY: str(rank)}


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of a matrix in a flat array; all numbers are elements.

    Element (row, column) is at ``offset + row // block_rows * block_stride + row % block_rows * row_stride +
    column * column_stride``. ``block_rows`` rows make a block; by default all do. ``column_stride`` is 1 unless the
    matrix is transposed.
    """

    offset: int
    row_stride: int
    column_stride: int = 1
    block_rows: int = sys.maxsize
    block_stride: int = 0

    def index(self, row: int) -> int:
        """Return the index of a row's first element."""
        block, inner = divmod(row, self.block_rows)
        return self.offset + block * self.block_stride + inner * self.row_stride

    def rows_ahead(self, row: int, count: int) -> int:
        """Return how many of ``count`` rows from ``row`` on are in its block."""
        return min(count, self.block_rows - row % self.block_rows)

    def step(self, rows: int) -> int:
        """Return the distance from a row to the one that is ``rows`` further, from block to block or inside one."""
        return self.block_stride if rows == self.block_rows else rows * self.row_stride


@dataclass(frozen=True, slots=True)
class StridedCopy:
    """A matrix of elements on its way from one flat array into another; all numbers are elements.

    ``source`` and ``target`` are the indices of its first element; the strides lead from a row to the next and, in the
    target, from a column to the next. In the source the columns of a row are contiguous.
    """

    rows: int
    columns: int
    source: int
    source_stride: int
    target: int
    target_strides: tuple[int, int]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.rows * self.columns

    @property
    def contiguous(self) -> bool:
        """Whether the elements follow each other in the target."""
        between, inside = self.target_strides
        return inside == 1 and (self.rows == 1 or between == self.columns)

    def some_rows(self, first: int, count: int) -> StridedCopy:
        """Return the copy of ``count`` of its rows, from ``first`` on."""
        source, target = self.source + first * self.source_stride, self.target + first * self.target_strides[0]
        return StridedCopy(count, self.columns, source, self.source_stride, target, self.target_strides)

    def by_rows_of(self, width: int) -> Iterator[StridedCopy]:
        """Cut it so that a row of a copy is one, or a part of one, of a source that is ``width`` columns wide.

        The rows of a copy follow each other in the source.
        """
        if self.columns <= width - self.source % width:
            if self.rows == 1 or self.source_stride == width:
                yield self
            else:
                yield from (self.some_rows(row, 1) for row in range(self.rows))
            return
        # What is longer than a row consists of whole ones.
        between, inside = self.target_strides
        for row in range(self.rows):
            source, target = self.source + row * self.source_stride, self.target + row * between
            yield StridedCopy(self.columns // width, width, source, width, target, (width * inside, inside))

    def split(self, most: int) -> Iterator[StridedCopy]:
        """Cut into copies of at most ``most`` elements: whole rows, or parts of one.

        What is contiguous on both sides is cut anywhere, as if it were one row; what is transposed on the way is cut
        between rows only, whatever their length.
        """
        rows, columns, strides = self.rows, self.columns, self.target_strides
        if self.contiguous and self.source_stride == columns:
            rows, columns = 1, self.elements
        together = max(1, most // columns)
        step = most if together == 1 and strides[1] == 1 else columns
        for row in range(0, rows, together):
            count = min(together, rows - row)
            source, target = self.source + row * self.source_stride, self.target + row * strides[0]
            for start in range(0, columns, step):
                width = min(step, columns - start)
                yield StridedCopy(
                    count, width, source + start, self.source_stride, target + start * strides[1], strides
                )


@dataclass(frozen=True)
class Fusion:
    """The arrangement of some HuggingFace tensors' matrices in one parameter.

    ``parts`` are their shapes, in the order of the parameter, each cut into as many ``blocks`` of rows. Of a stack they
    are those of one of its ``experts``, whose matrices are transposed; a ``flat`` one is one long matrix, any other has
    an axis for the expert.
    """

    parts: tuple[Shape, ...]
    blocks: int = 1
    experts: int = 0
    flat: bool = False

    @property
    def rows(self) -> int:
        """Rows of all parts together."""
        return sum(part[0] for part in self.parts)

    @property
    def shape(self) -> Shape:
        """The parameter's shape."""
        whole = (self.rows, *self.parts[0][1:])
        if not self.experts:
            return whole
        rows, columns = whole[::-1]
        return (self.experts * rows, columns) if self.flat else (self.experts, rows, columns)

    def placement(self, part: int, expert: int = 0) -> Placement:
        """Return where the part of that number lies in the parameter; in a stack, that of an expert."""
        columns = prod(self.parts[part][1:])
        before = sum(other[0] for other in self.parts[:part])
        if self.experts:
            return Placement(expert * self.rows * columns + before, 1, self.rows)
        if self.blocks == 1 or len(self.parts) == 1:
            return Placement(before * columns, columns)
        height, first = self.parts[part][0] // self.blocks, before // self.blocks
        return Placement(first * columns, columns, 1, height, self.rows // self.blocks * columns)


def whole(shape: Shape) -> Placement:
    """Return where a tensor's matrix, or its vector as one of columns of length 1, lies in the tensor itself."""
    return Placement(0, prod(shape[1:]))


def strided_copies(
    source: Placement, target: Placement, rows: int, columns: int, *, first_row: int = 0, first_column: int = 0
) -> Iterator[StridedCopy]:
    """Yield the copies of a rectangle of a matrix from where it is to where it shall be.

    It begins at ``first_row`` and ``first_column`` of the source; those of the target count from 0.
    """
    shift = first_column * source.column_stride
    contiguous = source.row_stride == columns == target.row_stride and source.column_stride == target.column_stride == 1
    row = 0
    while row < rows:
        here, left = first_row + row, rows - row
        start, end = source.index(here) + shift, target.index(row)
        count = min(source.rows_ahead(here, left), target.rows_ahead(row, left))
        blocks = left // count
        if (
            contiguous
            and blocks > 1
            and all(
                count == place.block_rows or place.rows_ahead(at, left) >= blocks * count
                for place, at in ((source, here), (target, row))
            )
        ):
            yield StridedCopy(blocks, count * columns, start, source.step(count), end, (target.step(count), 1))
            row += blocks * count
            continue
        strides = target.row_stride, target.column_stride
        if source.column_stride == 1:
            yield StridedCopy(count, columns, start, source.row_stride, end, strides)
        else:  # transposed in the source: its columns are what is contiguous there
            yield StridedCopy(columns, count, start, source.column_stride, end, strides[::-1])
        row += count
