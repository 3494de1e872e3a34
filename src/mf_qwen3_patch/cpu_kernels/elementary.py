"""Normalization, reductions and sampling on the CPU."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor


class RmsNorm:
    """Stands in for the kernel of the same name (Zhang and Sennrich, 2019); ``epsilon`` is added to the mean square."""

    def __init__(self, epsilon: float = 1e-6) -> None:
        self._epsilon = epsilon

    def __call__(self, x: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        """Normalize the last axis of ``x``, ``[..., hidden_size]``.

        Returns ``x / rms(x) * gamma`` in the dtype of ``x``, and ``1 / rms(x)`` in float32.
        """
        array = x.asnumpy()
        wide = array.astype(np.float32)
        reciprocal = 1.0 / np.sqrt(np.mean(np.square(wide), axis=-1, keepdims=True) + np.float32(self._epsilon))
        normed = wide * reciprocal * gamma.asnumpy().astype(np.float32)
        return Tensor.from_numpy(normed.astype(array.dtype)), Tensor.from_numpy(reciprocal)


# The names of the arguments are those of mindspore.mint.
def cumsum(input: Tensor, dim: int) -> Tensor:
    """Return the cumulative sum along ``dim``, in the dtype of ``input``."""
    array = input.asnumpy()
    return Tensor.from_numpy(np.cumsum(array, axis=dim, dtype=array.dtype))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index (int64) of the largest value along ``dim``, of the flattened tensor by default."""
    index = np.argmax(input.asnumpy(), axis=dim, keepdims=keepdim)
    return Tensor.from_numpy(np.asarray(index, np.int64))


def run_using_numpy() -> bool:
    """Have MindFormers filter and sample logits by its own numpy code, which its context can ask for, too.

    The other way needs ``mint.topk``, which has no CPU kernel.
    """
    return True
