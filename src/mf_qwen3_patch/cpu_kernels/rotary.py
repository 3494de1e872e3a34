"""Rotary position embedding on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Tensor

_ROTATE_HALF = 2


class ApplyRotaryPosEmb:
    """Stands in for the kernel of the same name, in its "rotate half" form (Su et al., 2021, RoFormer)."""

    def __init__(self, cos_format: int = _ROTATE_HALF) -> None:
        if cos_format != _ROTATE_HALF:
            raise NotImplementedError(f"the CPU stand-in knows cos_format={_ROTATE_HALF}, not {cos_format}")

    def __call__(
        self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, batch_valid_length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rotate query and key, ``[tokens, heads * head_dim]``, by their positions, and return them.

        ``cos`` and ``sin`` are ``[max_position, head_dim]`` at prefill; ``[tokens, head_dim]``, already gathered, when
        decoding. ``batch_valid_length``, ``[batch]``, has the tokens of each sequence, those in the cache included.
        """
        lengths = batch_valid_length.asnumpy().ravel()
        tokens = query.shape[0]
        cosine, sine = (x.asnumpy().astype(np.float32) for x in (cos, sin))
        if lengths.sum() == tokens:
            positions = np.concatenate([np.arange(length) for length in lengths])
            cosine, sine = cosine[positions], sine[positions]
        elif cosine.shape[0] != tokens:
            raise NotImplementedError(
                f"{tokens} tokens of {len(lengths)} sequences with {int(lengths.sum())} tokens in all: "
                "the CPU stand-in prefills whole prompts only"
            )
        return _rotate(query, cosine, sine), _rotate(key, cosine, sine)


def _rotate(tensor: Tensor, cos: np.ndarray[Any, Any], sin: np.ndarray[Any, Any]) -> Tensor:
    array = tensor.asnumpy()
    heads = array.astype(np.float32).reshape(array.shape[0], -1, cos.shape[-1])
    first, second = np.split(heads, 2, axis=-1)
    rotated = heads * cos[:, None] + np.concatenate([-second, first], axis=-1) * sin[:, None]
    return Tensor.from_numpy(rotated.reshape(array.shape).astype(array.dtype))
