"""What each thread does: read a chunk, look at its bits, cast it into place, while it is in the cache."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mf_qwen3_patch.loading.casting import Bits, Cast, cast_between, largest_magnitude
from mf_qwen3_patch.loading.pieces import Piece
from mf_qwen3_patch.loading.reading import Files

__all__ = ["Findings", "TensorFindings", "WorkShared", "Worker"]

# Large enough that threads seldom wait for each other's Python, small enough for the cache.
_CHUNK_BYTES = 1 << 20


@dataclass
class TensorFindings:
    """What was seen in the part of a tensor that was read; every element was looked at.

    Attributes:
        largest: The bits of the largest magnitude; 0 if all are zero.
        nan: How many are NaN.
        infinite: How many are infinite.
        overflowed: How many finite ones became infinite by the cast.
    """

    largest: int = 0
    nan: int = 0
    infinite: int = 0
    overflowed: int = 0


@dataclass
class Findings:
    """What all threads have seen and done so far.

    Attributes:
        bytes_read: Bytes of tensor data.
        tensors: By tensor name.
    """

    bytes_read: int = 0
    tensors: dict[str, TensorFindings] = field(default_factory=lambda: defaultdict(TensorFindings))


class WorkShared:
    """What the threads of one load share.

    Args:
        pieces: The work, in order.
        buffers: Parameter name to its flattened memory, as unsigned integers.
        files: Open for reading.
    """

    def __init__(self, pieces: Iterable[Piece], buffers: Mapping[str, Bits], files: Files) -> None:
        self.pieces = deque(pieces)
        self.buffers = buffers
        self.files = files
        self.findings = Findings()
        self.lock = threading.Lock()
        self.go = threading.Event()
        self.stop = threading.Event()


class Worker:
    """One thread's share: takes pieces until there are none, or until it is told to stop.

    Args:
        shared: The work.
    """

    def __init__(self, shared: WorkShared) -> None:
        self._shared = shared
        self._scratch = np.empty(_CHUNK_BYTES, np.uint8)

    def run(self) -> None:
        """Work, once ``go`` is set; what one piece raises stops all threads.

        Raises:
            CorruptCheckpoint: A file can't be read.
        """
        self._shared.go.wait()
        try:
            while not self._shared.stop.is_set():
                try:
                    piece = self._shared.pieces.popleft()
                except IndexError:
                    return
                self._load(piece)
        except BaseException:
            self._shared.stop.set()
            raise

    def _load(self, piece: Piece) -> None:
        tensor = piece.copy.tensor
        cast = cast_between(tensor.dtype, piece.parameter.dtype)
        buffer = self._shared.buffers[piece.parameter.name]
        files = self._shared.files
        files.prefetch(tensor, piece.stretch)
        seen = TensorFindings()
        read = 0
        itemsize = cast.source.itemsize
        for chunk in piece.stretch.split(_CHUNK_BYTES // itemsize, itemsize):
            if self._shared.stop.is_set():
                return
            out = buffer[chunk.destination : chunk.destination + chunk.elements]
            bits = out if cast.convert is None else self._scratch[: chunk.elements * itemsize].view(cast.source)
            read += files.read(tensor, chunk, bits)
            _look(bits, cast, seen)
            if cast.convert is not None:
                cast.convert(bits, out)
        self._report(tensor.name, seen, read)

    def _report(self, tensor: str, seen: TensorFindings, read: int) -> None:
        with self._shared.lock:
            self._shared.findings.bytes_read += read
            total = self._shared.findings.tensors[tensor]
            total.largest = max(total.largest, seen.largest)
            total.nan += seen.nan
            total.infinite += seen.infinite
            total.overflowed += seen.overflowed


def _look(bits: Bits, cast: Cast, seen: TensorFindings) -> None:
    largest = largest_magnitude(bits)
    seen.largest = max(seen.largest, largest)
    if largest < cast.overflow:
        return
    not_finite = cast.count_from(bits, cast.infinity)
    nan = cast.count_from(bits, cast.infinity + 1)
    seen.nan += nan
    seen.infinite += not_finite - nan
    seen.overflowed += cast.count_from(bits, cast.overflow) - not_finite
