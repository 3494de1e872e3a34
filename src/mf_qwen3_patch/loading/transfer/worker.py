"""The work of each thread: read a chunk, look at its bits, cast it into place, while it is in the cache."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mf_qwen3_patch.checkpoint.files.read_file import CheckpointFile
from mf_qwen3_patch.loading.transfer.cast import Bits, TensorFindings, cast_between
from mf_qwen3_patch.loading.transfer.read_requests import Piece
from mf_qwen3_patch.loading.transfer.reader import prefetch, read_stretch

# Large enough that threads seldom wait for each other's Python, small enough for the cache.
_CHUNK_BYTES = 1 << 20

Files = Callable[[Path], CheckpointFile]
"""Returns one of a checkpoint's files, open."""


@dataclass
class Findings:
    """The findings of all threads so far."""

    bytes_read: int = 0
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
        self._read = _Scratch()
        self._cast = _Scratch()

    def load(self, piece: Piece, buffer: Bits, stop: threading.Event | None = None) -> tuple[TensorFindings, int]:
        """Load one piece into the parameter's flattened memory, or a part of it if ``stop`` is set meanwhile.

        Returns what was seen in it, and the bytes read.

        Raises:
            CorruptCheckpoint: The file can't be read.
        """
        tensor = piece.copy.tensor
        cast = cast_between(tensor.dtype, piece.parameter.dtype)
        file = self._files(tensor.file)
        prefetch(file, piece.stretch)
        seen, read = TensorFindings(), 0
        itemsize = cast.source.itemsize
        for chunk in piece.stretch.split(_CHUNK_BYTES // itemsize, itemsize):
            if stop is not None and stop.is_set():
                break
            if chunk.contiguous:
                out = buffer[chunk.target : chunk.target + chunk.elements]
            else:
                out = self._cast.take(chunk.elements, cast.target)
            bits = out if cast.convert is None else self._read.take(chunk.elements, cast.source)
            read += read_stretch(file, chunk, bits, tensor.name)
            seen.add(cast.apply(bits, out), bits, cast)
            if not chunk.contiguous:
                chunk.write(out, buffer)
        return seen, read


@dataclass
class WorkShared:
    """The work that the threads of one load share: pieces in order, and the flattened memory of each parameter."""

    pieces: deque[Piece]
    buffers: Mapping[str, Bits]
    files: Files
    findings: Findings = field(default_factory=Findings)
    lock: threading.Lock = field(default_factory=threading.Lock)
    go: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)


def work(shared: WorkShared) -> None:
    """Load pieces, once ``go`` is set, until there are none or ``stop`` is; what one raises stops all threads."""
    loader = PieceLoader(shared.files)
    shared.go.wait()
    try:
        while not shared.stop.is_set():
            try:
                piece = shared.pieces.popleft()
            except IndexError:
                return
            seen, read = loader.load(piece, shared.buffers[piece.parameter.name], shared.stop)
            with shared.lock:
                shared.findings.add(piece.copy.tensor.name, seen, read)
    except BaseException:
        shared.stop.set()
        raise


class _Scratch:
    """Memory that is used again and again."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def take(self, elements: int, dtype: np.dtype[Any]) -> Bits:
        """Return an array of one axis; what was returned before must not be used any more."""
        nbytes = elements * dtype.itemsize
        if nbytes > self._memory.size:
            self._memory = np.empty(nbytes, np.uint8)
        bits: Bits = self._memory[:nbytes].view(dtype)
        return bits
