"""Changing the dtype of a stretch of raw elements, and telling from its bits what is wrong with it.

Elements are handled as unsigned integers: bfloat16 is no numpy dtype, and NaN, infinity, zero and
overflow all show in the largest magnitude, an integer comparison away. The results are those of
numpy's own casts (round to nearest, ties to even), which are stock's too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from mindspore.common import np_dtype

from mf_qwen3_patch.errors import InvalidValues, Problem

Array: TypeAlias = npt.NDArray[Any]
Dtype: TypeAlias = "np.dtype[Any]"
Bits: TypeAlias = npt.NDArray[Any]
"""Elements as unsigned integers of the same width, one axis, contiguous."""

_Convert: TypeAlias = Callable[[Bits, Bits], int]

_BFLOAT16, _FLOAT16, _FLOAT32 = (np.dtype(kind) for kind in (np_dtype.bfloat16, np.float16, np.float32))
SOURCE_DTYPES: Mapping[str, Dtype] = {"BF16": _BFLOAT16, "F16": _FLOAT16, "F32": _FLOAT32, "F64": np.dtype(np.float64)}
"""The dtypes that a file may hold, by safetensors' names."""

TARGET_DTYPES: Mapping[str, Dtype] = {"float32": _FLOAT32, "float16": _FLOAT16, "bfloat16": _BFLOAT16}
"""The dtypes that a parameter may have, by MindSpore's names."""

# numpy.take makes 8-byte indices of its argument: a block's worth of them must stay in the cache.
_TABLE_BLOCK = 1 << 15


@dataclass(frozen=True)
class Cast:
    """How elements of one dtype become another: ``"BF16->float32"``, in unsigned integers of the same widths.

    ``convert`` casts its first argument into its second, and returns the largest magnitude of the first; None if the
    bits are the same. From the source's ``infinity`` on a magnitude is infinite or NaN; from ``overflow`` on it
    becomes infinite, which is ``infinity`` if none that is finite does.
    """

    name: str
    source: Dtype
    target: Dtype
    convert: _Convert | None
    infinity: int
    overflow: int

    def apply(self, bits: Bits, out: Bits) -> int:
        """Cast at least one element into ``out``, and return the largest magnitude, see ``largest_magnitude``.

        Where the bits are the same, ``out`` must be ``bits`` itself.
        """
        return largest_magnitude(bits) if self.convert is None else self.convert(bits, out)

    def makes_zero(self, magnitude: int) -> bool:
        """Return whether the cast makes zero of the element with these bits."""
        source = np.array([magnitude], self.source)
        out = source if self.convert is None else np.empty(1, self.target)
        self.apply(source, out)
        return not out[0]


@dataclass
class TensorFindings:
    """The findings in the part of a tensor that was read: the bits of the largest magnitude, and numbers of elements.

    Every element was looked at. Those that ``overflowed`` were finite, and became infinite by the cast.
    """

    largest: int = 0
    nan: int = 0
    infinite: int = 0
    overflowed: int = 0

    def add(self, largest: int, bits: Bits, cast: Cast) -> None:
        """Take a chunk into account; ``largest`` is what ``cast.apply`` has returned for it."""
        self.largest = max(self.largest, largest)
        if largest < cast.overflow:
            return
        magnitudes = bits & bits.dtype.type(_magnitude_mask(bits.dtype))
        limits = (bits.dtype.type(limit) for limit in (cast.overflow, cast.infinity, cast.infinity + 1))
        overflowed, not_finite, nan = (int(np.count_nonzero(magnitudes >= limit)) for limit in limits)
        self.nan += nan  # which is larger than infinity
        self.infinite += not_finite - nan
        self.overflowed += overflowed - not_finite


@cache
def cast_between(source: str, target: str) -> Cast:
    """Return the cast from a file's dtype (of ``SOURCE_DTYPES``) to a parameter's (of ``TARGET_DTYPES``)."""
    source_dtype, target_dtype = SOURCE_DTYPES[source], TARGET_DTYPES[target]
    convert: _Convert | None
    if source_dtype == target_dtype:
        convert = None
    elif source == "BF16" and target == "float32":
        convert = _widen_bfloat16
    elif source == "BF16" and target == "float16":
        convert = _narrow_bfloat16()
    elif source_dtype.itemsize == 2:
        convert = partial(_look_up, _table(source_dtype, target_dtype))
    else:
        convert = partial(_cast_by_numpy, source_dtype, target_dtype)
    infinity = _infinity(source_dtype)
    overflow = _smallest_overflow(source_dtype, target_dtype, infinity)
    return Cast(f"{source}->{target}", _bits(source_dtype), _bits(target_dtype), convert, infinity, overflow)


def cast_like_numpy(values: Array, target: Dtype) -> Array:
    """Cast by numpy (and, for bfloat16, MindSpore's numpy extension), overflow to infinity included."""
    if values.dtype == target:
        return values
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return values.astype(target)


def largest_magnitude(bits: Bits) -> int:
    """Return the bits of the largest absolute value of at least one; NaN counts as larger than infinity."""
    # Read as signed integers the largest is the largest positive value; as unsigned ones it is the negative
    # value that is farthest from 0, if there is a negative value. No temporary array is needed for that.
    positive = int(bits.view(f"i{bits.itemsize}").max())
    either = int(bits.max()) & _magnitude_mask(bits.dtype)
    return max(positive, either)


def is_finite(values: Array) -> bool:
    """Return whether an array of any shape holds neither NaN nor infinity; dtypes that no file may hold never do."""
    if values.size == 0 or values.dtype not in SOURCE_DTYPES.values():
        return True
    bits = np.ascontiguousarray(values).reshape(-1).view(_bits(values.dtype))
    return largest_magnitude(bits) < _infinity(values.dtype)


def not_finite(tensor: str, found: str, *, file: str | None = None, parameter: str | None = None) -> Problem:
    """Return the problem of a tensor that holds NaN or infinity, whoever has read it."""
    summary = f"{tensor} holds NaN or infinity: whatever the model computed would be NaN"
    advice = "the checkpoint was saved broken or is damaged: download or export it again"
    return Problem(InvalidValues, summary, file, tensor, parameter, None, "finite numbers", found, advice)


def _bits(dtype: Dtype) -> Dtype:
    return np.dtype(f"u{dtype.itemsize}")


def _magnitude_mask(bits: Dtype) -> int:
    return (1 << (8 * bits.itemsize - 1)) - 1


def _infinity(dtype: Dtype) -> int:
    return int(np.array(np.inf, np.float32).astype(dtype).view(_bits(dtype)))


def _widen_bfloat16(bits: Bits, out: Bits) -> int:
    largest = largest_magnitude(bits)
    # bfloat16 is the upper half of a float32.
    np.left_shift(bits, 16, out=out, dtype=np.uint32)
    return largest


def _narrow_bfloat16() -> _Convert:
    """Return the cast to float16: in integers where it is exact, by table elsewhere.

    Both have the sign first and 5 of bfloat16's 8 exponent bits are float16's, with another bias. Where the
    exponent fits, the 7 bits of the fraction fit as well, so that nothing is rounded.
    """
    table = _table(SOURCE_DTYPES["BF16"], TARGET_DTYPES["float16"])
    exponent_bias = np.uint16((15 - 127 << 10) % (1 << 16))
    sign = np.uint16(0x8000)
    # Doubled, as they are compared with what has lost its sign: normal in float16 are 2**-14 up to below 2**16.
    smallest_normal = np.uint16((127 - 14) << 8)
    too_large = np.uint16((127 + 16) << 8)

    def convert(bits: Bits, out: Bits) -> int:
        doubled = np.add(bits, bits)  # shifts the sign out
        largest = int(doubled.max())
        exceptional = np.less(doubled, smallest_normal)
        if largest >= too_large:
            exceptional |= doubled >= too_large
        np.multiply(doubled, np.uint16(4), out=doubled)
        np.add(doubled, exponent_bias, out=doubled)
        np.bitwise_and(bits, sign, out=out)
        np.bitwise_or(out, doubled, out=out)
        others = np.flatnonzero(exceptional)
        out[others] = table[bits[others]]
        return largest >> 1

    return convert


def _look_up(table: Bits, bits: Bits, out: Bits) -> int:
    largest = largest_magnitude(bits)
    for start in range(0, bits.size, _TABLE_BLOCK):
        block = slice(start, start + _TABLE_BLOCK)
        # Every index is in range; with mode="raise" numpy would work on a copy of out.
        np.take(table, bits[block], out=out[block], mode="wrap")
    return largest


def _table(source: Dtype, target: Dtype) -> Bits:
    every = np.arange(1 << 16, dtype=np.uint16).view(source)
    table: Bits = cast_like_numpy(every, target).view(_bits(target))
    return table


def _cast_by_numpy(source: Dtype, target: Dtype, bits: Bits, out: Bits) -> int:
    largest = largest_magnitude(bits)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        np.copyto(out.view(target), bits.view(source), casting="unsafe")
    return largest


def _smallest_overflow(source: Dtype, target: Dtype, infinity: int) -> int:
    """Search it by bisection: magnitudes are ordered like their bits."""

    def overflows(magnitude: int) -> bool:
        value = np.array([magnitude], _bits(source)).view(source)
        return bool(np.isinf(cast_like_numpy(value, target).astype(np.float32))[0])

    return bisect_left(range(infinity), True, key=overflows)
