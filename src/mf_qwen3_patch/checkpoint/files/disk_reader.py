"""Reading a checkpoint from its disk: from the page cache what is there, the rest in large reads, several at a time.

Threads that wait for a disk need no processor. There are as many of them as reads shall be in flight, and no more of
them work at a time than there are processors for it: a thread gives its place to another while it waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mf_qwen3_patch.checkpoint.files.direct_file import BLOCK, DirectFile, aligned_memory
from mf_qwen3_patch.checkpoint.files.read_file import CheckpointFile

READ_BYTES = 8 << 20
"""The most that is read at once: enough for a disk to give all it has with a few reads in flight."""


@dataclass
class DiskUse:
    """Account of what was read: bytes from the page cache, from the disk, and from where the system does not tell.

    ``direct_bytes`` of those from the disk went past the page cache. ``disk_seconds`` is how long at least one read was
    in flight, ``work_seconds`` how long all threads together did not wait.
    """

    cached_bytes: int = 0
    disk_bytes: int = 0
    direct_bytes: int = 0
    untold_bytes: int = 0
    disk_seconds: float = 0.0
    work_seconds: float = 0.0


class Disk:
    """Shared by the threads of one load: the files, the places of those that work and of those that read, the account.

    With ``bypass``, what is not in the page cache is read past it, but for what several ranks may need; with
    ``bypass_untold`` also where the system does not tell what is in it.
    """

    def __init__(
        self,
        files: Callable[[Path], CheckpointFile],
        *,
        workers: int,
        reads: int,
        bypass: bool = False,
        bypass_untold: bool = False,
    ) -> None:
        self.bypass, self.bypass_untold = bypass, bypass_untold
        self.use = DiskUse()
        self.lock = threading.Lock()
        self.work_places = threading.Semaphore(workers)
        self._files = files
        self._read_places = threading.Semaphore(reads)
        self._in_flight, self._busy_since = 0, 0.0
        self._opened: dict[Path, tuple[CheckpointFile, DirectFile | None]] = {}

    def open(self, path: Path) -> tuple[CheckpointFile, DirectFile | None]:
        """Return a file, and what reads it past the page cache, if anything shall."""
        with self.lock:
            if path not in self._opened:
                file = self._files(path)
                # The system's read-ahead knows less than we do: it would read twice as much, and in smaller parts.
                os.posix_fadvise(file.descriptor, 0, 0, os.POSIX_FADV_RANDOM)
                self._opened[path] = file, DirectFile(file) if self.bypass else None
            return self._opened[path]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a read as in flight; there are no more than allowed."""
        with self._read_places:
            with self.lock:
                self._in_flight += 1
                if self._in_flight == 1:
                    self._busy_since = time.perf_counter()
            try:
                yield
            finally:
                with self.lock:
                    self._in_flight -= 1
                    if not self._in_flight:
                        self.use.disk_seconds += time.perf_counter() - self._busy_since


class DiskReader:
    """Reads for one thread; ``file`` is its ``Files``."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._waited = 0.0
        self._cached_bytes = 0
        # What the thread has announced to read whole, and what of it was read ahead.
        self._file: CheckpointFile | None = None
        self._expected = range(0)
        self._held = range(0)
        self._probed = False
        self._memory = np.empty(0, np.uint8)
        self._window = self._memory

    def file(self, path: Path) -> _FileOfThread:
        """Return a file to read."""
        return _FileOfThread(self, *self._disk.open(path))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Take a working place; every read must be inside, and gives it away while it waits."""
        with self._disk.work_places:
            started = time.perf_counter()
            try:
                yield
            finally:
                with self._disk.lock:
                    self._disk.use.work_seconds += time.perf_counter() - started - self._waited
                    self._disk.use.cached_bytes += self._cached_bytes
                self._waited = self._cached_bytes = 0

    def expect(self, file: CheckpointFile, offset: int, nbytes: int) -> None:
        """Take note of what will be read next, whole and in order."""
        self._file, self._expected = file, range(offset, offset + nbytes)
        self._held, self._probed = range(0), False

    def read(
        self, file: CheckpointFile, direct: DirectFile | None, offset: int, memory: memoryview, tensor: str | None
    ) -> None:
        """Fill ``memory``; raises as ``CheckpointFile.read_at``."""
        done = self._read_held(file, offset, memory)
        if done < memory.nbytes:
            done += self._read_cached(file, offset + done, memory[done:])
        if done < memory.nbytes:
            self._read_from_disk(file, direct, offset + done, memory[done:], tensor)

    def _read_held(self, file: CheckpointFile, offset: int, memory: memoryview) -> int:
        if file is not self._file or offset not in self._held:
            return 0
        count = min(memory.nbytes, self._held.stop - offset)
        start = offset - self._held.start
        # By numpy, which lets other threads run meanwhile.
        np.copyto(np.frombuffer(memory[:count], np.uint8), self._window[start : start + count])
        return count

    def _read_cached(self, file: CheckpointFile, offset: int, memory: memoryview) -> int:
        if self._is_expected(file, offset) and self._disk.bypass and not self._probed:
            # On newer systems the question alone makes the page cache read what it is asked for: one page, then.
            self._probed = True
            if not file.read_cached(offset, memory[:1]):
                return 0
        count = file.read_cached(offset, memory)
        self._cached_bytes += count
        return count

    def _read_from_disk(
        self, file: CheckpointFile, direct: DirectFile | None, offset: int, memory: memoryview, tensor: str | None
    ) -> None:
        wanted = stop = offset + memory.nbytes
        if self._is_expected(file, offset):
            stop = max(wanted, min(self._expected.stop, offset + READ_BYTES))
        else:
            direct = None  # rows with gaps: other ranks need what is between them
        past_cache = 0
        with self._waiting():
            if direct is not None and direct.usable and (file.tells_cached or self._disk.bypass_untold):
                past_cache = self._fill_directly(file, direct, range(offset, stop), tensor)
            elif stop == wanted:
                file.read_at(offset, memory, tensor)
            else:
                self._make_room(stop - offset)
                file.read_at(offset, self._memory[: stop - offset].data, tensor)
                self._hold(range(offset, stop), 0)
        with self._disk.lock:
            use = self._disk.use
            if file.tells_cached or past_cache:
                use.disk_bytes += stop - offset
                use.direct_bytes += past_cache
            else:
                use.untold_bytes += stop - offset
        self._read_held(file, offset, memory)

    def _fill_directly(self, file: CheckpointFile, direct: DirectFile, wanted: range, tensor: str | None) -> int:
        """Read ahead past the page cache, and through it what that refuses; return the bytes of the first."""
        first = wanted.start // BLOCK * BLOCK
        nbytes = -(-(wanted.stop - first) // BLOCK) * BLOCK
        self._make_room(nbytes)
        got = first + direct.read(first, self._memory[:nbytes])
        got = min(max(got, wanted.start), wanted.stop)
        if got < wanted.stop:
            file.read_at(got, self._memory[got - first : wanted.stop - first].data, tensor)
        self._hold(wanted, wanted.start - first)
        # The page of the question; nobody else has wanted it.
        os.posix_fadvise(file.descriptor, first, BLOCK, os.POSIX_FADV_DONTNEED)
        return got - wanted.start

    def _is_expected(self, file: CheckpointFile, offset: int) -> bool:
        return file is self._file and offset in self._expected

    def _make_room(self, nbytes: int) -> None:
        self._held = range(0)
        if nbytes > self._memory.size:
            self._memory = aligned_memory(nbytes)

    def _hold(self, held: range, start: int) -> None:
        self._held, self._window = held, self._memory[start : start + len(held)]

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Give the working place away, and take one again afterwards."""
        started = time.perf_counter()
        self._disk.work_places.release()
        try:
            with self._disk.reading():
                yield
        finally:
            self._disk.work_places.acquire()
            self._waited += time.perf_counter() - started


class _FileOfThread:
    """A file as one thread reads it; see ``ReadableFile``."""

    def __init__(self, reader: DiskReader, file: CheckpointFile, direct: DirectFile | None) -> None:
        self._reader, self._file, self._direct = reader, file, direct

    def read_at(self, offset: int, memory: memoryview, tensor: str | None = None) -> None:
        self._reader.read(self._file, self._direct, offset, memory, tensor)

    def expect(self, offset: int, nbytes: int) -> None:
        self._reader.expect(self._file, offset, nbytes)

    def prefetch(self, offset: int, nbytes: int) -> None:
        self._file.prefetch(offset, nbytes)
