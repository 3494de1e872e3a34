"""Is this path a regular file that can be read? One answer for config, index and shards."""

from __future__ import annotations

import stat
from pathlib import Path

from mf_qwen3_patch.errors import CorruptCheckpoint, IncompleteCheckpoint, Problem

MAX_JSON_BYTES = 100_000_000
"""The most that is ever read as JSON; the safetensors format caps its headers at the same size."""

_LFS_MAGIC = b"version https://git-lfs"


def file_problem(path: Path, name: str) -> Problem | None:
    """Say why ``path`` can't be read as a checkpoint file, or None if it can.

    Args:
        path: The file; a symlink is followed, as hub caches consist of them.
        name: How the message calls it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
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
    except (OSError, ValueError) as error:
        return _unreadable(name, error)
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "a special file"
        return Problem(
            CorruptCheckpoint,
            f"{name} is {what}, not a file",
            file=name,
            expected="a regular file",
            found=what,
            advice="put the real file in its place",
        )
    if status.st_size == 0:
        return Problem(
            CorruptCheckpoint,
            f"{name} is empty (0 bytes)",
            file=name,
            expected="more than 0 bytes",
            found="0 bytes",
            advice="download the file again",
        )
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_LFS_MAGIC))
    except OSError as error:
        return _unreadable(name, error)
    if start == _LFS_MAGIC:
        return Problem(
            CorruptCheckpoint,
            f"{name} is a Git LFS pointer, not the file itself",
            file=name,
            expected="the file's content",
            found=f"a pointer of {status.st_size} bytes",
            advice="run `git lfs pull` in the directory, or download with `huggingface-cli download`",
        )
    return None


def read_bounded(path: Path, name: str) -> bytes:
    """Return the whole of a JSON file.

    Raises:
        CorruptCheckpoint: It can't be read, or is larger than ``MAX_JSON_BYTES``.
        IncompleteCheckpoint: It is not there.
    """
    problem = file_problem(path, name)
    if problem is None:
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_JSON_BYTES + 1)
        except OSError as error:
            problem = _unreadable(name, error)
        else:
            if len(data) <= MAX_JSON_BYTES:
                return data
            problem = Problem(
                CorruptCheckpoint,
                f"{name} is too large to be JSON of a checkpoint",
                file=name,
                expected=f"at most {MAX_JSON_BYTES} bytes",
                found="more",
                advice="download the file again",
            )
    raise problem.kind([problem])


def _unreadable(name: str, error: Exception) -> Problem:
    reason = getattr(error, "strerror", None) or str(error)
    return Problem(
        CorruptCheckpoint,
        f"{name} can't be read: {reason}",
        file=name,
        expected="a readable file",
        found=reason,
        advice="check the file's permissions and the disk, or download the file again",
    )
