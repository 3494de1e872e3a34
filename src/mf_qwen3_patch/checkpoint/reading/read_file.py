"""One file of a checkpoint, opened once: what was checked is what is read.

The descriptor that gave the header gives the data, too, and the file's identity (device, inode, size and time of
modification) is compared before the data are read, after it, and after the verification: a file that was replaced or
rewritten in between is an error, not another model.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeAlias

from mf_qwen3_patch.errors import CheckpointError, CorruptCheckpoint, IncompleteCheckpoint, Problem, error_for

MAX_JSON_BYTES = 100_000_000
"""The most that is ever read as JSON; the safetensors format caps its headers at the same size."""

_LFS_MAGIC = b"version https://git-lfs"
# Enough for the headers of most shards: opened, a file is read once.
_HEAD_BYTES = 1 << 16
# A Python that was built for an old C library lacks it.
_NOT_FROM_DISK: int | None = getattr(os, "RWF_NOWAIT", None)


class CheckpointFile:
    """A regular file that is not empty, open for reading, with its name in messages; made by ``open_file``.

    ``size`` (in bytes) and ``modified_ns`` are those when it was opened. The descriptor is closed by ``close``, or with
    this object.
    """

    def __init__(self, path: Path, name: str, descriptor: int) -> None:
        self.path = path
        self.name = name
        self.descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)
        status = os.fstat(descriptor)
        self._identity = _identity(status)
        self.size, self.modified_ns = status.st_size, status.st_mtime_ns
        self.is_regular = stat.S_ISREG(status.st_mode)
        self.head = b""  # the first bytes, if they were read
        self.tells_cached = _NOT_FROM_DISK is not None
        """Whether the system says what is in the page cache; not known before it was asked."""

    def reopened(self) -> CheckpointFile:
        """Return the same file with a descriptor of its own, or this one where the system allows no second."""
        try:
            # By the descriptor, not by the name, which may lead to another file by now.
            descriptor = os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return self
        return CheckpointFile(self.path, self.name, descriptor)

    def read_at(self, offset: int, memory: memoryview, tensor: str | None = None) -> None:
        """Fill contiguous ``memory`` with the bytes from ``offset`` on, which are those of ``tensor``.

        Raises CorruptCheckpoint if the file ends too early, or the system can't read it.
        """
        done = 0
        while done < memory.nbytes:
            try:
                count = os.preadv(self.descriptor, [memory[done:]], offset + done)
            except OSError as error:
                raise _error(self.path, cannot_read(self.name, error, tensor)) from error
            if count == 0:
                summary = f"{self.name} ended while it was read: it has become shorter than its header says"
                expected, found = f"{offset + memory.nbytes} bytes or more", f"{offset + done} bytes"
                advice = "make sure that nothing writes to the checkpoint, and download the file again"
                raise _error(self.path, corrupt(self.name, summary, expected, found, advice, tensor))
            done += count

    def read_cached(self, offset: int, memory: memoryview) -> int:
        """Fill ``memory`` as far as the page cache holds the file; return how many bytes that are, and never wait.

        0 also where the system can't tell or the file can't be read: ``read_at`` says why.
        """
        if not self.tells_cached or _NOT_FROM_DISK is None:
            return 0
        try:
            return os.preadv(self.descriptor, [memory], offset, _NOT_FROM_DISK)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.tells_cached = error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
            return 0

    def expect(self, offset: int, nbytes: int) -> None:
        """Take note of bytes that will be read next, whole and in order: what the system's read-ahead is good at."""

    def prefetch(self, offset: int, nbytes: int) -> None:
        """Have the system read ahead; small reads with gaps would defeat its own read-ahead."""
        os.posix_fadvise(self.descriptor, offset, nbytes, os.POSIX_FADV_WILLNEED)

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on; raises as ``read_at``."""
        if offset + count <= len(self.head):
            return self.head[offset : offset + count]
        data = bytearray(count)
        self.read_at(offset, memoryview(data))
        return bytes(data)

    def check_unchanged(self) -> None:
        """Raise CorruptCheckpoint if the name leads to another file by now, or the file was written to."""
        try:
            now = _identity(self.path.stat()), _identity(os.fstat(self.descriptor))
        except OSError as error:
            raise self._changed("gone", error.strerror or str(error)) from error
        if now[0][:2] != self._identity[:2]:
            raise self._changed("replaced", "another file of that name")
        if any(identity != self._identity for identity in now):
            raise self._changed("written to", _described(now[1]))

    def _changed(self, what: str, found: str) -> CheckpointError:
        summary = f"{self.name} was {what} while it was in use: what was checked is not what is there now"
        advice = "make sure that nothing writes to the checkpoint, then start again"
        return _error(self.path, corrupt(self.name, summary, _described(self._identity), found, advice))


class ReadableFile(Protocol):
    """One of a checkpoint's files, open: a ``CheckpointFile``, or one as a thread of a load reads it."""

    def read_at(self, offset: int, memory: memoryview, tensor: str | None = None) -> None:
        """Fill ``memory``; see ``CheckpointFile``."""
        ...

    def expect(self, offset: int, nbytes: int) -> None:
        """Take note of bytes that will be read next, whole and in order."""
        ...

    def prefetch(self, offset: int, nbytes: int) -> None:
        """Have the system read ahead what will be read with gaps."""
        ...


Files: TypeAlias = Callable[[Path], ReadableFile]
"""Returns one of a checkpoint's files, open."""


def open_file(path: Path, name: str | None = None) -> CheckpointFile:
    """Open a checkpoint's file, and see that it is one; symlinks are followed, as hub caches consist of them.

    Raises IncompleteCheckpoint if it is not there or a link to nothing; CorruptCheckpoint if it is no regular file,
    empty, a Git LFS pointer, or can't be read.
    """
    name = name or path.name
    try:
        # A named pipe without a writer would block.
        file = CheckpointFile(path, name, os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except (OSError, ValueError) as error:
        raise _error(path, _not_opened(path, name, error)) from error
    try:
        problem = _unusable(file)
    except OSError as error:
        problem = cannot_read(name, error)
    if problem is not None:
        file.close()
        raise _error(path, problem)
    return file


def file_problem(path: Path, name: str) -> Problem | None:
    """Return why ``path`` can't be read as a checkpoint's file, None if it can; see ``open_file``."""
    try:
        open_file(path, name).close()
    except CheckpointError as error:
        return error.problems[0]
    return None


def read_bounded(path: Path, name: str) -> bytes:
    """Return the whole of a JSON file; raises as ``open_file``, and if it is larger than ``MAX_JSON_BYTES``."""
    with closing(open_file(path, name)) as file:
        if file.size <= MAX_JSON_BYTES:
            return file.read(0, file.size)
    summary, expected = f"{name} is too large to be JSON of a checkpoint", f"at most {MAX_JSON_BYTES} bytes"
    raise _error(path, corrupt(name, summary, expected, f"{file.size} bytes", "download the file again"))


def corrupt(
    file: str,
    summary: str,
    expected: str | None,
    found: str | None,
    advice: str,
    tensor: str | None = None,
    field: str | None = None,
) -> Problem:
    """Return the problem of a damaged file."""
    return Problem(CorruptCheckpoint, summary, file, tensor, field=field, expected=expected, found=found, advice=advice)


def cannot_read(name: str, error: Exception, tensor: str | None = None) -> Problem:
    """Return the problem of a file that the system can't read."""
    reason = getattr(error, "strerror", None) or str(error)
    advice = "check the file's permissions and the disk or the network it is on, then try again"
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        advice = "allow more open files (ulimit -n)"
    return corrupt(name, f"{name} can't be read: {reason}", "a readable file", reason, advice, tensor)


def _error(path: Path, problem: Problem) -> CheckpointError:
    return error_for([problem], str(path.parent))


def _not_opened(path: Path, name: str, error: Exception) -> Problem:
    if not isinstance(error, FileNotFoundError):
        return cannot_read(name, error)
    if not path.is_symlink():
        advice = "download the file again, or copy the whole directory"
        return Problem(IncompleteCheckpoint, f"{name} is not there", name, advice=advice)
    summary, found = f"{name} is a symbolic link to a file that is not there", str(path.readlink())
    advice = "download the file again (in a hub cache, the blob was removed)"
    return Problem(IncompleteCheckpoint, summary, name, expected="the link's target", found=found, advice=advice)


def _unusable(file: CheckpointFile) -> Problem | None:
    name = file.name
    if not file.is_regular:
        what = "a directory" if file.path.is_dir() else "a special file"
        return corrupt(name, f"{name} is {what}, not a file", "a regular file", what, "put the real file in its place")
    if file.size == 0:
        return corrupt(name, f"{name} is empty (0 bytes)", "more than 0 bytes", "0 bytes", "download the file again")
    file.head = os.pread(file.descriptor, _HEAD_BYTES, 0)
    if file.head.startswith(_LFS_MAGIC):
        summary, found = f"{name} is a Git LFS pointer, not the file itself", f"a pointer of {file.size} bytes"
        advice = "run `git lfs pull` in the directory, or download with `hf download`"
        return corrupt(name, summary, "the file's content", found, advice)
    return None


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _described(identity: tuple[int, int, int, int]) -> str:
    return f"{identity[2]} bytes, modified at {identity[3] / 1e9:.6f}"
