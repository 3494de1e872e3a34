"""What each thread does: read a chunk, look at its bits, cast it into place, while it is in the cache."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mf_qwen3_patch.loading.transfer.cast import Array, Bits, TensorFindings, cast_between
from mf_qwen3_patch.loading.transfer.read_requests import Piece, Stretch
from mf_qwen3_patch.loading.transfer.reader import Files

# Large enough that threads seldom wait for each other's Python, small enough for the cache.
_CHUNK_BYTES = 1 << 20
_WORD = np.dtype("<u8")


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
        self._scratch = _Scratch()
        self._turning = _Scratch()

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
        # What is transposed on the way is written row by row into columns, the rest as it is.
        turned = piece.copy.shard.expert is not None
        matrix = piece.copy.written(buffer.reshape(piece.parameter.shape)) if turned else None
        itemsize = cast.source.itemsize
        for chunk in piece.stretch.split(_CHUNK_BYTES // itemsize, itemsize):
            if self._shared.stop.is_set():
                return
            if matrix is None:
                out = buffer[chunk.destination : chunk.destination + chunk.elements]
            else:
                out = self._turning.take(chunk.elements, cast.target)
            bits = out if cast.convert is None else self._scratch.take(chunk.elements, cast.source)
            read += files.read(tensor, chunk, bits)
            seen.add(cast.apply(bits, out), bits, cast)
            if matrix is not None:
                _write_rows(out, matrix, chunk)
        self._report(tensor.name, seen, read)

    def _report(self, tensor: str, seen: TensorFindings, read: int) -> None:
        with self._shared.lock:
            self._shared.findings.bytes_read += read
            total = self._shared.findings.tensors[tensor]
            total.largest = max(total.largest, seen.largest)
            total.nan += seen.nan
            total.infinite += seen.infinite
            total.overflowed += seen.overflowed


class _Scratch:
    """Memory that is used again and again."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def take(self, elements: int, dtype: np.dtype[Any]) -> Bits:
        """Return an array of one axis; what was returned before must not be used any more."""
        nbytes = elements * dtype.itemsize
        if nbytes > self._memory.size:
            self._memory = np.empty(max(nbytes, _CHUNK_BYTES), np.uint8)
        bits: Bits = self._memory[:nbytes].view(dtype)
        return bits


def _write_rows(values: Bits, matrix: Array, chunk: Stretch) -> None:
    """Write whole rows into a matrix whose columns are contiguous in memory.

    Elements that become neighbors are first put together into words, which halves the time.
    """
    columns = matrix.shape[1]
    rows = values.reshape(-1, columns)
    first = chunk.destination // columns
    turned = matrix[first : first + len(rows)].T
    together = _WORD.itemsize // values.itemsize
    aligned = turned.ctypes.data % _WORD.itemsize == 0 and turned.strides[0] % _WORD.itemsize == 0
    if together == 1 or len(rows) % together or not aligned:
        turned[...] = rows.T
        return
    words = rows[::together].astype(_WORD)
    for number in range(1, together):
        words |= rows[number::together].astype(_WORD) << _WORD.type(8 * values.itemsize * number)
    turned.view(_WORD)[...] = words.T
