"""Cutting a plan into pieces of work that threads can share evenly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS
from mf_qwen3_patch.loading.transfer.cast import Array, Bits
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy

# Large enough for a disk to read in one go, small enough that no thread is left with much more than the others.
_PIECE_BYTES = 8 << 20
_WORD = np.dtype("<u8")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Runs of elements at equal distances in a file, and where they go in memory.

    A tensor that is copied whole, or by rows, is one run; of a tensor that is cut by columns, or whose rows alternate
    with those of another, each row has one. ``offset`` and ``stride``, from one run to the next, are bytes in the
    file; ``run`` counts elements. ``target`` is the index of the first element in the flattened parameter,
    ``target_strides`` are the steps there from a run, and from an element of it, to the next.
    """

    offset: int
    run: int
    runs: int
    stride: int
    target: int
    target_strides: tuple[int, int]

    @property
    def elements(self) -> int:
        """Number of elements in all runs."""
        return self.run * self.runs

    @property
    def contiguous(self) -> bool:
        """Whether they follow each other in memory, too."""
        between, inside = self.target_strides
        return inside == 1 and (self.runs == 1 or between == self.run)

    def split(self, most: int, itemsize: int) -> Iterator[Stretch]:
        """Cut into stretches of at most ``most`` elements of ``itemsize`` bytes: whole runs, or parts of one.

        What is transposed on the way is cut between runs only, whatever their length.
        """
        between, inside = self.target_strides
        together = max(1, most // self.run)
        step = most if together == 1 and inside == 1 else self.run
        for first in range(0, self.runs, together):
            runs = min(together, self.runs - first)
            offset, target = self.offset + first * self.stride, self.target + first * between
            for start in range(0, self.run, step):
                run = min(step, self.run - start)
                yield Stretch(
                    offset + start * itemsize, run, runs, self.stride, target + start * inside, self.target_strides
                )

    def write(self, values: Bits, parameter: Bits) -> None:
        """Write all elements, run after run, to where they go in the flattened parameter of the same dtype."""
        itemsize = parameter.itemsize
        steps = tuple(step * itemsize for step in self.target_strides)
        view: Array = as_strided(parameter[self.target :], (self.runs, self.run), steps)
        rows = values.reshape(self.runs, self.run)
        if self.target_strides[0] != 1:
            view[...] = rows
            return
        # Transposed: elements that become neighbors are first put together into words, which halves the time.
        turned = view.T
        together = _WORD.itemsize // itemsize
        aligned = turned.ctypes.data % _WORD.itemsize == 0 and turned.strides[0] % _WORD.itemsize == 0
        if together == 1 or self.runs % together or not aligned:
            turned[...] = rows.T
            return
        words = rows[::together].astype(_WORD)
        for number in range(1, together):
            words |= rows[number::together].astype(_WORD) << _WORD.type(8 * itemsize * number)
        turned.view(_WORD)[...] = words.T


@dataclass(frozen=True, slots=True)
class Piece:
    """Work for one thread: a stretch of a tensor that is copied into a parameter."""

    parameter: ParameterPlan
    copy: SliceCopy
    stretch: Stretch


def pieces_of(parameters: Iterable[ParameterPlan]) -> list[Piece]:
    """Return the work of loading some parameters in the order of the files, so that disks read forwards."""
    pieces = []
    for parameter in parameters:
        for copy in parameter.copies:
            itemsize = DTYPE_BITS[copy.tensor.dtype] // 8
            for stretch in _stretch(copy, itemsize).split(_PIECE_BYTES // itemsize, itemsize):
                pieces.append(Piece(parameter, copy, stretch))
    return sorted(pieces, key=lambda piece: (str(piece.copy.tensor.file), piece.stretch.offset))


def _stretch(copy: SliceCopy, itemsize: int) -> Stretch:
    region = copy.region
    offset = copy.tensor.offset + region.source * itemsize
    run, runs, strides = region.columns, region.rows, region.target_strides
    if region.source_stride == run and strides == (run, 1):  # contiguous on both sides
        run, runs, strides = run * runs, 1, (run * runs, 1)
    return Stretch(offset, run, runs, region.source_stride * itemsize, region.target, strides)
