"""Tensors that no file has as they are: they are computed while they are read, a rectangle at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.reading.read_file import Files

Array: TypeAlias = npt.NDArray[Any]


class Rectangle(Protocol):
    """A rectangle of a tensor whose sources have been read."""

    def values(self, start: int, stop: int) -> Array:
        """Return rows of the rectangle: float32, contiguous; the bits of a value never depend on the rectangle."""
        ...


class Computation(Protocol):
    """The sources of a tensor, and how they become it."""

    @property
    def method(self) -> str:
        """The method, as reports name it."""
        ...

    @property
    def transposed(self) -> bool:
        """Whether the file has together what are the columns of the tensor."""
        ...

    @property
    def row_step(self) -> int:
        """A number of rows after which a cut costs nothing."""
        ...

    def nbytes(self, rows: range, columns: range) -> int:
        """Return the bytes that are read for a rectangle of the tensor."""
        ...

    def read(self, files: Files, rows: range, columns: range) -> Rectangle:
        """Read the sources of a rectangle; raises a CheckpointError if they can't be read or have no meaning."""
        ...


@dataclass(frozen=True, slots=True)
class ComputedTensor(TensorInfo):
    """A matrix that is computed while it is read.

    Its dtype is what it is meant to be; its file and offset are those of its main source, its bytes those of all.
    """

    encoding: Computation

    @property
    def values_dtype(self) -> str:
        """The dtype that its values have when they are read."""
        return "F32"


def finite(values: Array) -> bool:
    """Return whether all values are finite."""
    return bool(np.isfinite(values).all())
