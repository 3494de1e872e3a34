"""Whole tensors out of weight files, for tools that write them elsewhere."""

from __future__ import annotations

from math import prod

import numpy as np

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS, DTYPE_NAMES, TensorInfo
from mf_qwen3_patch.errors import InvalidValues
from mf_qwen3_patch.loading.transfer.cast import Array, TensorFindings, cast_between
from mf_qwen3_patch.loading.transfer.not_finite import not_finite
from mf_qwen3_patch.loading.transfer.read_requests import Stretch
from mf_qwen3_patch.loading.transfer.reader import Files

_CODES = {name: code for code, name in DTYPE_NAMES.items()}


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
        return tensor.dtype if self._dtype is None else _CODES[self._dtype]

    def read(self, tensor: TensorInfo) -> Array:
        """Return a tensor's elements in its shape, as unsigned integers of the dtype's width.

        Args:
            tensor: In F32, F16 or BF16.

        Raises:
            CorruptCheckpoint: The file can't be read, or ends too early.
            InvalidValues: It holds NaN or infinity.
        """
        cast = cast_between(tensor.dtype, self._dtype or DTYPE_NAMES[tensor.dtype])
        bits = np.empty(prod(tensor.shape), f"u{DTYPE_BITS[tensor.dtype] // 8}")
        self._files.read(tensor, Stretch(tensor.offset, bits.size, 1, bits.nbytes, 0), bits)
        out = bits if cast.convert is None else np.empty(bits.size, cast.target)
        seen = TensorFindings()
        seen.add(cast.apply(bits, out), bits, cast)
        if seen.nan or seen.infinite:
            found = f"{seen.nan + seen.infinite} of {bits.size} values are not"
            problem = not_finite(tensor.name, found, file=tensor.file.name)
            raise InvalidValues([problem], str(tensor.file.parent))
        if seen.overflowed:
            self.overflowed[tensor.name] = seen.overflowed
        return out.reshape(tensor.shape)
