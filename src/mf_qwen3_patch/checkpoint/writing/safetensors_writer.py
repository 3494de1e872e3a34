"""Writing safetensors files tensor by tensor, whole or not at all.

The format is the one that ``header`` reads. Tensors are made when they are written, and large ones piece by piece, so
that no more than one piece is in memory. A file gets its name when all of it is on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS
from mf_qwen3_patch.checkpoint.files.shards import SINGLE_NAME

Array: TypeAlias = npt.NDArray[Any]

UNFINISHED = ".unfinished"
"""The end of a file's name until all of it is on the disk."""


@dataclass(frozen=True)
class NewTensor:
    """A tensor that is to be written.

    Attributes:
        name: Its name in the file.
        dtype: The safetensors name, e.g. ``"BF16"``.
        shape: The shape.
        make: Returns its elements, in order: contiguous arrays with ``nbytes`` bytes together.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    make: Callable[[], Iterator[Array]]

    @property
    def nbytes(self) -> int:
        """Its length in the file."""
        return prod(self.shape) * DTYPE_BITS[self.dtype] // 8


@dataclass(frozen=True)
class NewFile:
    """A file that is to be written.

    Attributes:
        name: Relative to the directory; may name a directory below it.
        tensors: In the order of the file.
        metadata: The strings under ``__metadata__``.
    """

    name: str
    tensors: tuple[NewTensor, ...]
    metadata: Mapping[str, str]

    @property
    def header(self) -> bytes:
        """Length and JSON, padded to 8 bytes as the format asks for."""
        entries: dict[str, Any] = {"__metadata__": dict(self.metadata)}
        position = 0
        for tensor in self.tensors:
            end = position + tensor.nbytes
            entries[tensor.name] = {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "data_offsets": [position, end],
            }
            position = end
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
        """Write the file; it has its name only once all of it is on the disk.

        Args:
            directory: Where; directories in ``name`` are made.
            wrote: Told how many bytes were written, now and then.

        Raises:
            OSError: The disk is full or can't be written.
        """
        path = directory / self.name
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_name(path.name + UNFINISHED)
        with unfinished.open("wb") as stream:
            wrote(stream.write(self.header))
            for tensor in self.tensors:
                written = 0
                for piece in tensor.make():
                    written += stream.write(piece.reshape(-1).view(np.uint8).data)
                    wrote(piece.nbytes)
                    del piece  # before the next one is made
                if written != tensor.nbytes:
                    raise AssertionError(f"{tensor.name} has {written} bytes instead of {tensor.nbytes}")
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
        sync_directory(path.parent)


def split_into_files(
    tensors: Sequence[NewTensor], max_bytes: int | None, metadata: Mapping[str, str]
) -> tuple[NewFile, ...]:
    """Share tensors out among files, in order, under HuggingFace's names.

    Args:
        tensors: What is to be written.
        max_bytes: Of tensors in one file, unless a single tensor is larger; None for no limit.
        metadata: Of every file.
    """
    runs = list(_runs(tensors, max_bytes))
    if len(runs) == 1:
        return (NewFile(SINGLE_NAME, tuple(runs[0]), metadata),)
    return tuple(
        NewFile(f"model-{number:05d}-of-{len(runs):05d}.safetensors", tuple(run), metadata)
        for number, run in enumerate(runs, start=1)
    )


def sync_directory(directory: Path) -> None:
    """Have the names in ``directory`` on the disk, too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _runs(tensors: Sequence[NewTensor], max_bytes: int | None) -> Iterator[list[NewTensor]]:
    run: list[NewTensor] = []
    size = 0
    for tensor in tensors:
        if run and max_bytes is not None and size + tensor.nbytes > max_bytes:
            yield run
            run, size = [], 0
        run.append(tensor)
        size += tensor.nbytes
    yield run
