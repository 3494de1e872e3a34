"""A prompt that is longer than the model's ``seq_length`` is an error that says so.

Stock cuts ``max_length`` to ``seq_length`` and then complains that ``max_length`` is too small, which no value of it
can mend.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, inference_classes

_MIXIN = "mindformers.generation.text_generator:GenerationMixin"


def _measuring(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def generate(self: Any, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        length, most = _longest(input_ids), self.config.seq_length
        if length > most:
            raise ValueError(
                f"the prompt has {length} tokens, but the model was built for sequences of {most}: load it with a "
                f"larger seq_length, e.g. from_pretrained(..., seq_length={max(2 * most, 2 * length)}), which takes "
                "prompt and answer together"
            )
        return stock(self, input_ids, *args, **kwargs)

    return generate


def _longest(input_ids: Any) -> int:
    """Return the number of tokens of the longest prompt, of one or of a batch, in whatever they are."""
    if isinstance(input_ids, (list, tuple)):
        return max((int(np.size(row)) for row in input_ids), default=0) if _nested(input_ids) else len(input_ids)
    shape = getattr(input_ids, "shape", ())
    return int(shape[-1]) if shape else 0


def _nested(rows: Any) -> bool:
    return any(np.ndim(row) for row in rows)


PATCH = MethodPatches(*(MethodPatch(cls, "generate", _measuring, _MIXIN) for _, cls in inference_classes()))
