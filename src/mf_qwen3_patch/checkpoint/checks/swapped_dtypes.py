"""Matrices whose header names the other 16-bit dtype: bytes of float16 that are called bfloat16, or the reverse.

Nothing of the format contradicts that, and neither reading makes a NaN of the other's numbers. But float16 has 5 bits
of exponent where bfloat16 has 8, so that each power of two in the one is eight in the other, and the values of a matrix
lie much too far from each other, or much too close. Measured over 2,048 values (``spread`` is the distance between the
quartiles of the magnitudes, ``level`` their median, both in powers of two):

===================================================  ==============  ============
matrix                                               spread          level
===================================================  ==============  ============
normal, deviation 0.0001 to 30, read rightly         1.6 to 2.1      -14 to 4.4
uniform, Laplace, Student's t, lognormal, half zero  1.4 to 2.8      -6.8 to 0.1
trained: the package's own small model               1.7 to 2.0      -4.2 to -3.5
bfloat16 of these, read as float16                   0.17 to 0.42    -0.8 to 1.5
float16 of these, read as bfloat16                   10 to 22        below -29 (*)
===================================================  ==============  ============

(*) for deviations of up to 0.2. Of larger ones, as embeddings with PyTorch's own deviation of 1, it is not found.

A matrix is suspicious if it is so far out as it is called, and like any other as the other dtype; what is odd in both,
such as a matrix of which many columns are dead, is not. 4 KiB from the middle of a matrix show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES, TensorInfo
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile

_OTHER: Mapping[str, str] = {"BF16": "F16", "F16": "BF16"}
_SAMPLED_BYTES = 4096
_LEAST_VALUES = 256  # fewer scatter: 64 normal ones have spreads from 1.1 to 2.9
_SAMPLED_MATRICES = 64  # of all files together, but one of each at least

_USUAL_SPREAD = (1.0, 4.0)
_BF16_AS_F16_SPREAD, _BF16_AS_F16_LEVEL = 0.5, (-1.0, 2.0)
_F16_AS_BF16_SPREAD, _F16_AS_BF16_LEVEL = 8.0, -24.0


@dataclass(frozen=True, slots=True)
class _Scale:
    """The scale of a matrix's values that are not zero: quartile distance and median, in powers of two."""

    spread: float
    level: float

    @property
    def median(self) -> float:
        return float(2.0**self.level)

    @property
    def is_usual(self) -> bool:
        return _USUAL_SPREAD[0] <= self.spread <= _USUAL_SPREAD[1]

    def is_swapped(self, dtype: str) -> bool:
        """Return whether values that are called ``dtype`` have the scale that the other dtype's have there."""
        if dtype == "F16":
            return self.spread <= _BF16_AS_F16_SPREAD and _BF16_AS_F16_LEVEL[0] <= self.level <= _BF16_AS_F16_LEVEL[1]
        return self.spread >= _F16_AS_BF16_SPREAD and self.level <= _F16_AS_BF16_LEVEL


def swapped_dtypes(checkpoint: Checkpoint) -> list[str]:
    """Warn of each file with matrices whose values look like those of the other 16-bit dtype.

    Reads 4 KiB of up to 64 matrices of a sound checkpoint, and of one in each file at least.
    """
    headers = checkpoint.headers
    of_each = max(1, _SAMPLED_MATRICES // max(1, len(headers)))
    warnings = []
    for path, header in headers.items():
        file = checkpoint.file(path)
        sampled = _spread_out([info for info in header.tensors.values() if _is_matrix(info)], of_each)
        pairs = [(info, _scales(file, info)) for info in sampled]
        wrong = [
            (info, scales[0], scales[1])
            for info, scales in pairs
            if scales is not None and scales[0].is_swapped(info.dtype) and scales[1].is_usual
        ]
        if wrong:
            warnings.append(_warning(file.name, len(wrong), len(sampled), *wrong[0]))
    return warnings


def _warning(file: str, count: int, sampled: int, info: TensorInfo, found: _Scale, other: _Scale) -> str:
    called, meant = (DTYPE_NAMES[dtype] for dtype in (info.dtype, _OTHER[info.dtype]))
    return (
        f"{file} calls its tensors {called}, but {count} of the {sampled} matrices looked at have values as only "
        f"{meant} read as {called} has them; the first is {info.name[:120]}: the median of its magnitudes is "
        f"{found.median:.2g}, and as {meant} it would be {other.median:.2g}. The model will probably say nothing "
        f"sensible: download {file} again, or have the tool that wrote it name the right dtype"
    )


def _is_matrix(info: TensorInfo) -> bool:
    """Return whether it is a matrix of weights: the scales of quantized ones lie close to each other."""
    large = len(info.shape) > 1 and info.nbytes >= 2 * _LEAST_VALUES
    return large and info.dtype in _OTHER and info.name.endswith(".weight")


def _spread_out(infos: Sequence[TensorInfo], most: int) -> list[TensorInfo]:
    """Return at most so many of them, from the first to the last."""
    if len(infos) <= most:
        return list(infos)
    return [infos[number * len(infos) // most] for number in range(most)]


def _scales(file: CheckpointFile, info: TensorInfo) -> tuple[_Scale, _Scale] | None:
    """Return the scale of a matrix as it is called and as the other dtype; None if most of what is read is zero."""
    size = min(_SAMPLED_BYTES, info.nbytes)
    start = (info.nbytes - size) // 4 * 2
    bits = np.frombuffer(file.read(info.offset + start, size), "<u2") & np.uint16(0x7FFF)
    bits = np.sort(bits[bits != 0])  # ordered like the magnitudes, in both dtypes
    if len(bits) < _LEAST_VALUES:
        return None
    quartiles = bits[[len(bits) // 4, len(bits) // 2, len(bits) * 3 // 4]]
    return _scale(quartiles, info.dtype), _scale(quartiles, _OTHER[info.dtype])


def _scale(quartiles: npt.NDArray[np.uint16], dtype: str) -> _Scale:
    values = quartiles.view(np.float16) if dtype == "F16" else (quartiles.astype(np.uint32) << 16).view(np.float32)
    low, middle, high = (float(value) for value in values)
    return _Scale(log2(high / low) if np.isfinite(high) else float("inf"), log2(middle) if np.isfinite(middle) else 128)
