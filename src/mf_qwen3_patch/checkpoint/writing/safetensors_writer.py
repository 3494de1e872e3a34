"""Writing safetensors files tensor by tensor, whole or not at all.

The format is the one that ``safetensors_header`` reads. Tensors are made when they are written, and large ones piece by
piece, so that no more than one piece is in memory. A file gets its name when all of it is on the disk.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS
from mf_qwen3_patch.checkpoint.files.shards import SINGLE_NAME

Array: TypeAlias = npt.NDArray[Any]

UNFINISHED = ".unfinished"
"""The end of a file's name until all of it is on the disk."""

# For what is written at once the system wants memory that is as large, and finding that may take longer than writing.
_WRITE_BYTES = 1 << 20

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class NewTensor:
    """A tensor that is to be written; ``make`` returns its elements, in order, as contiguous arrays."""

    name: str
    dtype: str  # the safetensors name, e.g. "BF16"
    shape: tuple[int, ...]
    make: Callable[[], Iterator[Array]]

    @property
    def nbytes(self) -> int:
        """Its length in the file."""
        return prod(self.shape) * DTYPE_BITS[self.dtype] // 8


@dataclass(frozen=True)
class NewFile:
    """A file that is to be written; its name may be in a directory below the one where it is written."""

    name: str
    tensors: tuple[NewTensor, ...]
    metadata: Mapping[str, str]  # the strings under __metadata__

    @property
    def header(self) -> bytes:
        """Length and JSON, padded to 8 bytes as the format asks for."""
        entries: dict[str, Any] = {"__metadata__": dict(self.metadata)}
        end = 0
        for tensor in self.tensors:
            begin, end = end, end + tensor.nbytes
            entries[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
        text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    @property
    def nbytes(self) -> int:
        """The length of the file, in bytes."""
        return len(self.header) + sum(tensor.nbytes for tensor in self.tensors)

    def is_whole(self, directory: Path) -> bool:
        """Return whether the file is there, as long as it should be and with this very header."""
        path, header = directory / self.name, self.header
        try:
            with path.open("rb") as stream:
                return os.fstat(stream.fileno()).st_size == self.nbytes and stream.read(len(header)) == header
        except (FileNotFoundError, NotADirectoryError):
            return False

    def write(self, directory: Path, wrote: Callable[[int], object]) -> None:
        """Write the file; ``wrote`` is told how many bytes were written, now and then."""
        path = directory / self.name
        path.parent.mkdir(exist_ok=True)
        with unfinished(path) as stream:
            wrote(stream.write(self.header))
            for tensor in self.tensors:
                written = 0
                for piece in tensor.make():
                    content = piece.reshape(-1).view(np.uint8).data
                    for start in range(0, piece.nbytes, _WRITE_BYTES):
                        count = stream.write(content[start : start + _WRITE_BYTES])
                        written += count
                        wrote(count)
                    del piece, content  # before the next one is made
                if written != tensor.nbytes:
                    raise AssertionError(f"{tensor.name} has {written} bytes instead of {tensor.nbytes}")
        sync_directory(path.parent)


def split_into_files(
    tensors: Sequence[NewTensor], max_bytes: int | None, metadata: Mapping[str, str]
) -> tuple[NewFile, ...]:
    """Share tensors out among files, in order, under HuggingFace's names.

    A file holds at most ``max_bytes`` of tensors, unless a single tensor is larger; None is no limit.
    """
    runs: list[list[NewTensor]] = [[]]
    size = 0
    for tensor in tensors:
        if runs[-1] and max_bytes is not None and size + tensor.nbytes > max_bytes:
            runs.append([])
            size = 0
        runs[-1].append(tensor)
        size += tensor.nbytes
    names = [f"model-{number:05d}-of-{len(runs):05d}.safetensors" for number in range(1, len(runs) + 1)]
    if len(runs) == 1:
        names = [SINGLE_NAME]
    return tuple(NewFile(name, tuple(run), metadata) for name, run in zip(names, runs, strict=True))


def parse_size(size: str | int) -> int:
    """Return a size in bytes as transformers takes it, ``5GB`` for 5 * 10**9; raises ValueError for what is none."""
    match = re.fullmatch(r"([0-9]{1,15}) ?([KMGT]?I?B?)", str(size).upper(), re.ASCII)
    if match is None or match[2] not in _UNITS or int(match[1]) == 0:
        raise ValueError(f"{size!r} is not a size such as 5GB, 500MB or 1GiB")
    return int(match[1]) * _UNITS[match[2]]


@contextmanager
def unfinished(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name, and takes the place of another, only once all of it is on the disk.

    Where it can't be, nothing of it is left, and the OSError says how far it came.
    """
    partial = path.with_name(path.name + UNFINISHED)
    partial.unlink(missing_ok=True)  # of a run that was killed; or somebody's link, which is not followed
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        reached = f"{error.strerror or error} after {os.fstat(descriptor).st_size} bytes"
        raise OSError(error.errno, reached, str(path)) from error
    else:
        partial.replace(path)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Have the names in ``directory`` on the disk, too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
