"""Reading a checkpoint from its disk: from the page cache what is there, the rest with several reads in flight.

Threads that wait for a disk need no processor. There are as many of them as reads shall be in flight, and no more of
them work at a time than there are processors for it: a thread gives its place to another while it waits.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mf_qwen3_patch.checkpoint.reading.direct_file import BLOCK, DirectFile, aligned_memory
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile

READ_BYTES = 8 << 20
"""The most that is read at once: enough for a disk to give all it has with a few reads in flight."""


@dataclass
class DiskUse:
    """Account of what the disk gave: the bytes that went past the page cache, and when it was waited for.

    ``work_seconds`` is how long all threads together did not wait.
    """

    direct_bytes: int = 0
    first_wait: float | None = None
    last_wait: float = 0.0
    work_seconds: float = 0.0
    _read_before: int | None = field(default_factory=lambda: _bytes_from_disks())

    @property
    def seconds(self) -> float:
        """How long the disk was read from: from the first wait for it to the end of the last."""
        return 0.0 if self.first_wait is None else self.last_wait - self.first_wait

    @property
    def disk_bytes(self) -> int | None:
        """The bytes that this process has had disks read so far, read-ahead included; None if the system is silent."""
        now = _bytes_from_disks()
        return None if now is None or self._read_before is None else now - self._read_before


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
        self.work_places, self.read_places = threading.Semaphore(workers), threading.Semaphore(reads)
        self._files = files

    def open(self, path: Path) -> CheckpointFile:
        """Return a file with a descriptor that is its caller's: the system reads ahead for each descriptor apart."""
        with self.lock:
            file = self._files(path).reopened()
        # With read-ahead, the page cache would hold what is read past it.
        advice = os.POSIX_FADV_RANDOM if self.bypass else os.POSIX_FADV_SEQUENTIAL
        os.posix_fadvise(file.descriptor, 0, 0, advice)
        return file


class DiskReader:
    """Reads for one thread; ``file`` is its ``Files``."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._waited = 0.0
        self._file: _FileOfThread | None = None  # the one that is being read
        # What is announced to be read whole, whether the page cache was asked for it, and what of it was read ahead.
        self._expected = self._held = range(0)
        self._asked = False
        self._memory = self._window = np.empty(0, np.uint8)

    def file(self, path: Path) -> _FileOfThread:
        """Return a file to read; only the last one stays open."""
        if self._file is None or self._file.path != path:
            self._file = _FileOfThread(self, self._disk.open(path), path, bypass=self._disk.bypass)
            self._expected = self._held = range(0)
        return self._file

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
                self._waited = 0.0

    def expect(self, offset: int, nbytes: int) -> None:
        """Take note of what will be read next, whole and in order."""
        self._expected, self._held, self._asked = range(offset, offset + nbytes), range(0), False

    def read(
        self, file: CheckpointFile, direct: DirectFile | None, offset: int, memory: memoryview, tensor: str | None
    ) -> None:
        """Fill ``memory``; raises as ``CheckpointFile.read_at``."""
        if offset not in self._expected:
            direct = None  # rows with gaps: other ranks need what is between them
        elif direct is not None and not (direct.usable and (file.tells_cached or self._disk.bypass_untold)):
            direct = None
        done = self._read_held(offset, memory)
        if done < memory.nbytes:
            done += self._read_cached(file, offset + done, memory[done:], directly=direct is not None)
        if done == memory.nbytes:
            return
        if direct is not None:
            self._read_directly(file, direct, offset + done, memory[done:], tensor)
            return
        with self._waiting():
            file.read_at(offset + done, memory[done:], tensor)

    def _read_held(self, offset: int, memory: memoryview) -> int:
        if offset not in self._held:
            return 0
        count = min(memory.nbytes, self._held.stop - offset)
        start = offset - self._held.start
        # By numpy, which lets other threads run meanwhile.
        np.copyto(np.frombuffer(memory[:count], np.uint8), self._window[start : start + count])
        return count

    def _read_cached(self, file: CheckpointFile, offset: int, memory: memoryview, *, directly: bool) -> int:
        if directly and not self._asked:
            # On newer systems the question alone makes the page cache read what it asks for: one page, then.
            self._asked = True
            if not file.read_cached(offset, memory[:1]):
                return 0
        return file.read_cached(offset, memory)

    def _read_directly(
        self, file: CheckpointFile, direct: DirectFile, offset: int, memory: memoryview, tensor: str | None
    ) -> None:
        """Read ahead past the page cache, and through it what that refuses."""
        stop = max(offset + memory.nbytes, min(self._expected.stop, offset + READ_BYTES))
        first = offset // BLOCK * BLOCK
        nbytes = -(-(stop - first) // BLOCK) * BLOCK
        self._held = range(0)
        if nbytes > self._memory.size:
            self._memory = aligned_memory(nbytes)
        with self._waiting():
            got = first + direct.read(first, self._memory[:nbytes])
            got = min(max(got, offset), stop)
            if got < stop:
                file.read_at(got, self._memory[got - first : stop - first].data, tensor)
        # The page of the question; nobody else has wanted it.
        os.posix_fadvise(file.descriptor, first, BLOCK, os.POSIX_FADV_DONTNEED)
        with self._disk.lock:
            self._disk.use.direct_bytes += got - offset
        self._held, self._window = range(offset, stop), self._memory[offset - first : stop - first]
        self._read_held(offset, memory)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Give the working place away, and take one again after what is read."""
        use, started = self._disk.use, time.perf_counter()
        self._disk.work_places.release()
        try:
            with self._disk.read_places:
                yield
            with self._disk.lock:
                use.first_wait = min(started, use.first_wait or started)
                use.last_wait = time.perf_counter()
        finally:
            self._disk.work_places.acquire()
            self._waited += time.perf_counter() - started


class _FileOfThread:
    """A file as one thread reads it; see ``ReadableFile``."""

    def __init__(self, reader: DiskReader, file: CheckpointFile, path: Path, *, bypass: bool) -> None:
        self.path = path
        self._reader, self._file = reader, file
        self._direct = DirectFile(file) if bypass else None

    def read_at(self, offset: int, memory: memoryview, tensor: str | None = None) -> None:
        self._reader.read(self._file, self._direct, offset, memory, tensor)

    def expect(self, offset: int, nbytes: int) -> None:
        self._reader.expect(offset, nbytes)

    def prefetch(self, offset: int, nbytes: int) -> None:
        self._file.prefetch(offset, nbytes)


def _bytes_from_disks() -> int | None:
    try:
        found = re.search(r"^read_bytes: (\d+)", Path("/proc/self/io").read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
