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
from pathlib import Path

from mf_qwen3_patch.errors import CorruptCheckpoint, IncompleteCheckpoint, Problem, error_for

MAX_JSON_BYTES = 100_000_000
"""The most that is ever read as JSON; the safetensors format caps its headers at the same size."""

_LFS_MAGIC = b"version https://git-lfs"


class CheckpointFile:
    """A regular file that is not empty, open for reading; made by ``open_file``.

    Args:
        path: The file.
        name: The file's name in messages.
        descriptor: Of the open file; closed by ``close``, or with this object.

    Attributes:
        size: Its length in bytes when it was opened.
        modified_ns: Its time of modification then, in nanoseconds.
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

    def read_at(self, offset: int, memory: memoryview, tensor: str | None = None) -> None:
        """Fill ``memory`` with the bytes from ``offset`` on.

        Args:
            offset: Absolute, in bytes.
            memory: Of bytes, contiguous and writable.
            tensor: The tensor that the bytes belong to, for the message.

        Raises:
            CorruptCheckpoint: The file ends too early, or the system can't read it.
        """
        done = 0
        while done < memory.nbytes:
            try:
                count = os.preadv(self.descriptor, [memory[done:]], offset + done)
            except OSError as error:
                raise error_for([cannot_read(self.name, error, tensor)], str(self.path.parent)) from error
            if count == 0:
                raise error_for([self._ended(offset + memory.nbytes, offset + done, tensor)], str(self.path.parent))
            done += count

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on; raises as ``read_at``."""
        data = bytearray(count)
        self.read_at(offset, memoryview(data))
        return bytes(data)

    def check_unchanged(self) -> None:
        """Compare the file with what it was when it was opened.

        Raises:
            CorruptCheckpoint: Its name leads to another file now, or it was written to.
        """
        try:
            now = _identity(self.path.stat()), _identity(os.fstat(self.descriptor))
        except OSError as error:
            raise error_for([self._changed("gone", error.strerror or str(error))], str(self.path.parent)) from error
        if now[0][:2] != self._identity[:2]:
            raise error_for([self._changed("replaced", "another file of that name")], str(self.path.parent))
        if any(identity != self._identity for identity in now):
            raise error_for([self._changed("written to", _described(now[1]))], str(self.path.parent))

    def _changed(self, what: str, found: str) -> Problem:
        return Problem(
            CorruptCheckpoint,
            f"{self.name} was {what} while it was in use: what was checked is not what is there now",
            file=self.name,
            expected=_described(self._identity),
            found=found,
            advice="make sure that nothing writes to the checkpoint, then start again",
        )

    def _ended(self, wanted: int, found: int, tensor: str | None) -> Problem:
        return Problem(
            CorruptCheckpoint,
            f"{self.name} ended while it was read: it has become shorter than its header says",
            file=self.name,
            tensor=tensor,
            expected=f"{wanted} bytes or more",
            found=f"{found} bytes",
            advice="make sure that nothing writes to the checkpoint, and download the file again",
        )


def open_file(path: Path, name: str | None = None) -> CheckpointFile:
    """Open a checkpoint's file for reading, and see that it is one.

    Args:
        path: The file; a symlink is followed, as hub caches consist of them.
        name: The file's name in messages; by default its own.

    Raises:
        IncompleteCheckpoint: It is not there, or is a link to nothing.
        CorruptCheckpoint: It is no regular file, empty, a Git LFS pointer, or can't be read.
    """
    name = name or path.name
    try:
        # A named pipe without a writer would block.
        file = CheckpointFile(path, name, os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except (OSError, ValueError) as error:
        raise error_for([_not_opened(path, name, error)], str(path.parent)) from error
    try:
        problem = _unusable(file)
    except OSError as error:
        problem = cannot_read(name, error)
    if problem is not None:
        file.close()
        raise error_for([problem], str(path.parent))
    return file


def file_problem(path: Path, name: str) -> Problem | None:
    """Return why ``path`` can't be read as a checkpoint's file, None if it can; see ``open_file``."""
    try:
        open_file(path, name).close()
    except (CorruptCheckpoint, IncompleteCheckpoint) as error:
        return error.problems[0]
    return None


def read_bounded(path: Path, name: str) -> bytes:
    """Return the whole of a JSON file.

    Raises:
        CorruptCheckpoint: It can't be read, or is larger than ``MAX_JSON_BYTES``.
        IncompleteCheckpoint: It is not there.
    """
    file = open_file(path, name)
    try:
        if file.size <= MAX_JSON_BYTES:
            return file.read(0, file.size)
    finally:
        file.close()
    problem = Problem(
        CorruptCheckpoint,
        f"{name} is too large to be JSON of a checkpoint",
        file=name,
        expected=f"at most {MAX_JSON_BYTES} bytes",
        found=f"{file.size} bytes",
        advice="download the file again",
    )
    raise error_for([problem], str(path.parent))


def cannot_read(name: str, error: Exception, tensor: str | None = None) -> Problem:
    """Return the problem of a file that the system can't read."""
    reason = getattr(error, "strerror", None) or str(error)
    advice = "check the file's permissions and the disk or the network it is on, then try again"
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        advice = "allow more open files (ulimit -n)"
    return Problem(
        CorruptCheckpoint,
        f"{name} can't be read: {reason}",
        file=name,
        tensor=tensor,
        expected="a readable file",
        found=reason,
        advice=advice,
    )


def _not_opened(path: Path, name: str, error: Exception) -> Problem:
    if not isinstance(error, FileNotFoundError):
        return cannot_read(name, error)
    if path.is_symlink():
        return Problem(
            IncompleteCheckpoint,
            f"{name} is a symbolic link to a file that is not there",
            file=name,
            expected="the link's target",
            found=str(path.readlink()),
            advice="download the file again (in a hub cache, the blob was removed)",
        )
    return Problem(
        IncompleteCheckpoint,
        f"{name} is not there",
        file=name,
        advice="download the file again, or copy the whole directory",
    )


def _unusable(file: CheckpointFile) -> Problem | None:
    name = file.name
    if not file.is_regular:
        what = "a directory" if file.path.is_dir() else "a special file"
        return Problem(
            CorruptCheckpoint,
            f"{name} is {what}, not a file",
            file=name,
            expected="a regular file",
            found=what,
            advice="put the real file in its place",
        )
    if file.size == 0:
        return Problem(
            CorruptCheckpoint,
            f"{name} is empty (0 bytes)",
            file=name,
            expected="more than 0 bytes",
            found="0 bytes",
            advice="download the file again",
        )
    if os.pread(file.descriptor, len(_LFS_MAGIC), 0) == _LFS_MAGIC:
        return Problem(
            CorruptCheckpoint,
            f"{name} is a Git LFS pointer, not the file itself",
            file=name,
            expected="the file's content",
            found=f"a pointer of {file.size} bytes",
            advice="run `git lfs pull` in the directory, or download with `huggingface-cli download`",
        )
    return None


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _described(identity: tuple[int, int, int, int]) -> str:
    return f"{identity[2]} bytes, modified at {identity[3] / 1e9:.6f}"
