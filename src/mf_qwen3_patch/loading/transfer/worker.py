"""The work of each thread: read a chunk, look at its bits, cast it into place, while it is in the cache."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mf_qwen3_patch.checkpoint.reading.disk_reader import Disk, DiskReader
from mf_qwen3_patch.checkpoint.reading.read_file import Files
from mf_qwen3_patch.loading.transfer.cast import Bits, TensorFindings, cast_between
from mf_qwen3_patch.loading.transfer.plan import SliceCopy
from mf_qwen3_patch.loading.transfer.read_requests import Piece, reader_of

# Large enough that threads seldom wait for each other's Python, small enough for the cache.
_CHUNK_BYTES = 1 << 20
# A line of the cache.
_APART_BYTES = 64


@dataclass
class Findings:
    """The findings of all threads so far."""

    bytes_read: int = 0
    cast_seconds: float = 0.0  # of all threads together
    tensors: dict[str, TensorFindings] = field(default_factory=lambda: defaultdict(TensorFindings))

    def add(self, tensor: str, seen: TensorFindings, read: int) -> None:
        """Take what was seen in a part of a tensor into account."""
        self.bytes_read += read
        total = self.tensors[tensor]
        total.largest = max(total.largest, seen.largest)
        total.nan += seen.nan
        total.infinite += seen.infinite
        total.overflowed += seen.overflowed


class PieceLoader:
    """Loads pieces, one after the other, with memory of its own for what is between file and parameter."""

    def __init__(self, files: Files) -> None:
        self._files = files
        # Used again and again, for what is read, for what is cast, and for what is transposed.
        self._scratch = [np.empty(0, np.uint8)] * 3
        self.cast_seconds = 0.0

    def load(self, piece: Piece, buffer: Bits, stop: threading.Event | None = None) -> tuple[TensorFindings, int]:
        """Load one piece into the parameter's flattened memory, or a part of it if ``stop`` is set meanwhile.

        Returns what was seen in it, and the bytes read. A file that can't be read is a ``CorruptCheckpoint``, a scale
        that no weight can have ``InvalidValues``.
        """
        parameter, copy = piece
        tensor = copy.tensor
        cast = cast_between(tensor.values_dtype, parameter.dtype)
        seen, read = TensorFindings(), 0
        reader = reader_of(copy, self._files, cast.source)
        for chunk in reader.chunks(_CHUNK_BYTES // cast.source.itemsize):
            if stop is not None and stop.is_set():
                break
            if chunk.contiguous:
                out = buffer[chunk.target : chunk.target + chunk.elements]
            else:
                out = self._take(1, chunk.elements, cast.target)
            bits = out if cast.convert is None else self._take(0, chunk.elements, cast.source)
            read += reader.read(chunk, bits)
            started = time.perf_counter()
            seen.add(cast.apply(bits, out), bits, cast)
            self.cast_seconds += time.perf_counter() - started
            if not chunk.contiguous:
                self._write(out.reshape(chunk.rows, chunk.columns), SliceCopy(tensor, chunk).target_in(buffer))
        return seen, read

    def _take(self, number: int, elements: int, dtype: np.dtype[Any]) -> Bits:
        nbytes = elements * dtype.itemsize
        if nbytes > self._scratch[number].size:
            self._scratch[number] = np.empty(nbytes, np.uint8)
        bits: Bits = self._scratch[number][:nbytes].view(dtype)
        return bits

    def _write(self, rows: Bits, place: Bits) -> None:
        """Write elements, ``[rows, columns]``, to their place in the parameter, of the same shape and dtype."""
        if place.strides[0] != place.itemsize:  # not transposed
            place[...] = rows
            return
        # A column of rows that are a power of two apart falls into few places of the processor's cache, and each
        # element of it drives another out: with a little between the rows a transposition takes half the time.
        count, columns = rows.shape
        apart = columns + _APART_BYTES // rows.itemsize
        spread = self._take(2, count * apart, rows.dtype).reshape(count, apart)[:, :columns]
        spread[...] = rows
        place.T[...] = spread.T


@dataclass
class WorkShared:
    """The work that the threads of one load share: pieces in order, and the flattened memory of each parameter."""

    pieces: deque[Piece]
    buffers: Mapping[str, Bits]
    disk: Disk
    findings: Findings = field(default_factory=Findings)
    lock: threading.Lock = field(default_factory=threading.Lock)
    go: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)


def work(shared: WorkShared) -> None:
    """Load pieces, once ``go`` is set, until there are none or ``stop`` is; what one raises stops all threads."""
    reader = DiskReader(shared.disk)
    loader = PieceLoader(reader.file)
    shared.go.wait()
    try:
        with reader.working():
            _load_pieces(shared, loader)
    except BaseException:
        shared.stop.set()
        raise


def _load_pieces(shared: WorkShared, loader: PieceLoader) -> None:
    try:
        while not shared.stop.is_set():
            try:
                parameter, copy = piece = shared.pieces.popleft()
            except IndexError:
                return
            seen, read = loader.load(piece, shared.buffers[parameter.name], shared.stop)
            with shared.lock:
                shared.findings.add(copy.tensor.name, seen, read)
    finally:
        with shared.lock:
            shared.findings.cast_seconds += loader.cast_seconds
