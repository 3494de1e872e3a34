"""Whole tensors out of weight files, for tools that write them elsewhere."""

from __future__ import annotations

from math import prod

import numpy as np

from mf_qwen3_patch.checkpoint.header import DTYPE_BITS, TensorInfo
from mf_qwen3_patch.errors import InvalidValues, Problem
from mf_qwen3_patch.loading.casting import Array, Cast, cast_between, largest_magnitude
from mf_qwen3_patch.loading.pieces import Stretch
from mf_qwen3_patch.loading.reading import Files

__all__ = ["FILE_DTYPES", "TensorReader"]

FILE_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""Names of dtypes as MindSpore and config.json have them, to those of the file format."""

_NAMES = {code: name for name, code in FILE_DTYPES.items()}


class TensorReader:
    """Reads tensors, casts them, and looks at every value on the way.

    Args:
        files: Open for reading.
        dtype: What is read becomes this: ``float32``, ``float16`` or ``bfloat16``; None leaves it as it is.

    Attributes:
        overflowed: Tensor name to the number of its finite values that became infinite by the cast.
    """

    def __init__(self, files: Files, dtype: str | None = None) -> None:
        self._files = files
        self._dtype = dtype
        self.overflowed: dict[str, int] = {}

    def dtype_of(self, tensor: TensorInfo) -> str:
        """Return the file format's name of the dtype that ``read`` returns."""
        return tensor.dtype if self._dtype is None else FILE_DTYPES[self._dtype]

    def read(self, tensor: TensorInfo) -> Array:
        """Return a tensor's elements in its shape, as unsigned integers of the dtype's width.

        Args:
            tensor: In F32, F16 or BF16.

        Raises:
            CorruptCheckpoint: The file can't be read, or ends too early.
            InvalidValues: It holds NaN or infinity.
        """
        cast = cast_between(tensor.dtype, self._dtype or _NAMES[tensor.dtype])
        bits = np.empty(prod(tensor.shape), f"u{DTYPE_BITS[tensor.dtype] // 8}")
        self._files.read(tensor, Stretch(tensor.offset, bits.size, 1, bits.nbytes, 0), bits)
        self._check(tensor, bits, cast)
        if cast.convert is not None:
            out = np.empty(bits.size, cast.target)
            cast.convert(bits, out)
            bits = out
        return bits.reshape(tensor.shape)

    def _check(self, tensor: TensorInfo, bits: Array, cast: Cast) -> None:
        largest = largest_magnitude(bits)
        if largest >= cast.infinity:
            problem = Problem(
                InvalidValues,
                f"{tensor.name} holds NaN or infinity: whatever the model computed would be NaN",
                file=tensor.file.name,
                tensor=tensor.name,
                expected="finite numbers",
                found=f"{cast.count_from(bits, cast.infinity)} of {bits.size} values are not",
                advice="the checkpoint was saved broken or is damaged: download or save it again",
            )
            raise InvalidValues([problem], str(tensor.file.parent))
        if largest >= cast.overflow:
            self.overflowed[tensor.name] = cast.count_from(bits, cast.overflow)
