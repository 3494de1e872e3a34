"""Matrices as quantized checkpoints store them: plain numbers, or small integers packed into 32-bit words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.reading.read_file import Files
from mf_qwen3_patch.checkpoint.reading.read_rows import announce_rows, read_rows
from mf_qwen3_patch.families.tensors import Shape

Array: TypeAlias = npt.NDArray[Any]

WORD_BITS = 32

# The bits of each dtype as numpy reads them; what they mean is said by to_float32.
_STORED: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1", "F8_E8M0": "u1",
        "I8": "i1", "U8": "u1", "I32": "<i4", "I64": "<i8",
    }.items()
}  # fmt: skip

STORED_DTYPES = frozenset(_STORED)
"""The dtypes that a stored matrix may have, by safetensors' names."""


def _e4m3_values() -> Array:
    """Return what each byte means as float8_e4m3fn: sign, 4 bits of exponent with bias 7, 3 of fraction; no infinity.

    Source: "FP8 Formats for Deep Learning", https://arxiv.org/abs/2209.05433, section 3.
    """
    byte = np.arange(256)
    sign, exponent, fraction = np.where(byte >> 7, -1.0, 1.0), byte >> 3 & 15, byte & 7
    subnormal = fraction * 2.0**-9
    normal = (1 + fraction / 8) * 2.0 ** (exponent - 7)
    values = sign * np.where(exponent == 0, subnormal, normal)
    values[byte & 127 == 127] = np.nan
    return np.asarray(values, np.float32)


def _e8m0_values() -> Array:
    """Return what each byte means as float8_e8m0fnu: a power of two with bias 127, and NaN."""
    values = np.ldexp(1.0, np.arange(256) - 127)
    values[255] = np.nan
    return np.asarray(values, np.float32)


_TABLES: Mapping[str, Array] = {"F8_E4M3": _e4m3_values(), "F8_E8M0": _e8m0_values()}


def to_float32(stored: Array, dtype: str) -> Array:
    """Return the values of stored elements of a dtype; a new array."""
    if dtype in _TABLES:
        return np.take(_TABLES[dtype], stored)
    if dtype == "BF16":  # the upper half of a float32
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32)


def rounded(values: Array, dtype: str) -> Array:
    """Return float32 values as they are after a cast to a dtype, F16 or BF16, and back; of any other, themselves."""
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    if dtype == "BF16":  # to the nearest, to even where two are equally near
        bits = values.view(np.uint32)
        bits = (bits + (bits >> np.uint32(16) & np.uint32(1)) + np.uint32(0x7FFF)) & np.uint32(0xFFFF0000)
        return bits.view(np.float32)
    return values


@dataclass(frozen=True, slots=True)
class StoredMatrix:
    """A tensor in a file, seen as a matrix of its elements.

    With ``bits`` they are packed into 32-bit words, along the rows of words (``axis`` 1) or down their columns (0); in
    a word the element at position n, counted from the lowest bits, is the one that comes at ``order[n]``.
    """

    tensor: TensorInfo
    bits: int = 0
    axis: int = 1
    order: tuple[int, ...] = ()

    @property
    def packed(self) -> int:
        """The number of elements in a word along the axis; 1 if it is not packed."""
        return WORD_BITS // self.bits if self.bits else 1

    @property
    def words(self) -> tuple[int, int]:
        """The shape of what is stored; of a vector it is one column, of a scalar one element."""
        shape: Shape = self.tensor.shape
        return (shape[0] if shape else 1), prod(shape[1:])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of elements; the last word of a packed axis may have some that mean nothing."""
        return self._elements(*self.words)

    def nbytes(self, rows: range, columns: range) -> int:
        """Return the bytes that are read for a rectangle of elements."""
        rows, columns = self._stored(rows, columns)
        return len(rows) * len(columns) * _STORED[self.tensor.dtype].itemsize

    def read(self, files: Files, rows: range, columns: range) -> Array:
        """Return the elements of a rectangle, as they are stored: of packed ones, unsigned bytes."""
        stored_rows, stored_columns = self._stored(rows, columns)
        dtype = _STORED[self.tensor.dtype]
        words = np.empty((len(stored_rows), len(stored_columns)), dtype)
        file = files(self.tensor.file)
        stride = self.words[1] * dtype.itemsize
        offset = self.tensor.offset + stored_rows.start * stride + stored_columns.start * dtype.itemsize
        announce_rows(file, offset, stride, len(stored_columns) * dtype.itemsize, len(stored_rows))
        read_rows(file, offset, stride, words.reshape(-1).view(np.uint8).data, len(stored_rows), self.tensor.name)
        if not self.bits:
            return words
        elements = self._unpack(words.view(np.uint32))
        first_row = rows.start - stored_rows.start * (self.packed if self.axis == 0 else 1)
        first_column = columns.start - stored_columns.start * (self.packed if self.axis == 1 else 1)
        return elements[first_row : first_row + len(rows), first_column : first_column + len(columns)]

    def _stored(self, rows: range, columns: range) -> tuple[range, range]:
        """Return the rows and columns of words that hold a rectangle of elements."""
        whole = [range(span.start // self.packed, -(-span.stop // self.packed)) for span in (rows, columns)]
        return (whole[0], columns) if self.axis == 0 else (rows, whole[1])

    def _unpack(self, words: Array) -> Array:
        rows, columns = words.shape
        shape = (rows, self.packed, columns) if self.axis == 0 else (rows, columns, self.packed)
        elements = np.empty(shape, np.uint8)
        mask, shifted = np.uint32((1 << self.bits) - 1), np.empty_like(words)
        for position, place in enumerate(self.order or range(self.packed)):
            np.right_shift(words, np.uint32(position * self.bits), out=shifted)
            shifted &= mask
            elements[(slice(None), place) if self.axis == 0 else (..., place)] = shifted
        return elements.reshape(self._elements(rows, columns))

    def _elements(self, rows: int, columns: int) -> tuple[int, int]:
        return (rows * self.packed, columns) if self.axis == 0 else (rows, columns * self.packed)
