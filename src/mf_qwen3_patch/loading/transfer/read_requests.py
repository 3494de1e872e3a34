"""Cutting a plan into pieces of work that threads can share evenly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, Plan, SliceCopy

# Large enough for a disk to read in one go, small enough that no thread is left with much more than the others.
_PIECE_BYTES = 8 << 20


@dataclass(frozen=True)
class Stretch:
    """Runs of elements at equal distances in a file, which are contiguous in memory.

    A tensor that is copied whole, or by rows, is one run; of a tensor that is cut by columns each row
    has one.

    Attributes:
        offset: Absolute byte offset of the first run.
        run: Elements per run.
        runs: Number of runs.
        stride: Bytes from one run to the next.
        destination: Index of the first element in the flattened parameter; of what is transposed on the way, in the
            flattened slice of the tensor.
        unit: Elements that are not cut apart: a row of what is transposed.
    """

    offset: int
    run: int
    runs: int
    stride: int
    destination: int
    unit: int = 1

    @property
    def elements(self) -> int:
        """How many elements there are in all runs."""
        return self.run * self.runs

    def split(self, most: int, itemsize: int) -> Iterator[Stretch]:
        """Cut into stretches of at most ``most`` elements of ``itemsize`` bytes, or a unit if that is more.

        They are whole runs, or parts of one.
        """
        most = max(1, most // self.unit) * self.unit
        together = max(1, most // self.run)
        for first in range(0, self.runs, together):
            runs = min(together, self.runs - first)
            offset = self.offset + first * self.stride
            destination = self.destination + first * self.run
            for start in range(0, self.run, most) if runs == 1 else (0,):
                run = min(most, self.run - start) if runs == 1 else self.run
                yield Stretch(offset + start * itemsize, run, runs, self.stride, destination + start, self.unit)


@dataclass(frozen=True)
class Piece:
    """Work for one thread.

    Attributes:
        parameter: What is written.
        copy: Which tensor is read.
        stretch: Which part of it.
    """

    parameter: ParameterPlan
    copy: SliceCopy
    stretch: Stretch


def pieces_of(plan: Plan) -> list[Piece]:
    """Return the work of ``plan`` in the order of the files, so that disks read forwards."""
    pieces = []
    for parameter in plan.parameters:
        for copy in parameter.copies:
            itemsize = DTYPE_BITS[copy.tensor.dtype] // 8
            for stretch in _stretch(copy).split(_PIECE_BYTES // itemsize, itemsize):
                pieces.append(Piece(parameter, copy, stretch))
    return sorted(pieces, key=lambda piece: (str(piece.copy.tensor.file), piece.stretch.offset))


def _stretch(copy: SliceCopy) -> Stretch:
    # Only rows are merged (see shards), so that what is cut by columns is the whole of its parameter, contiguous, or
    # transposed anyway.
    shard = copy.shard
    itemsize = DTYPE_BITS[copy.tensor.dtype] // 8
    inner = prod(shard.shape[shard.axis + 1 :])
    runs = prod(shard.shape[: shard.axis])
    run = shard.length * inner
    stride = shard.shape[shard.axis] * inner * itemsize
    offset = copy.tensor.offset + shard.start * inner * itemsize
    if runs > 1 and run * itemsize == stride:  # cut by columns for one rank: nothing is cut
        runs, run = 1, run * runs
    if shard.expert is not None:
        return Stretch(offset, run, runs, stride, 0, unit=copy.source[1].stop - copy.source[1].start)
    return Stretch(offset, run, runs, stride, shard.destination * inner)
