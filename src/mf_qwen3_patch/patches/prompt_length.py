"""A prompt that is longer than the model's ``seq_length`` is an error that says so.

Stock cuts ``max_length`` to ``seq_length`` and then complains that ``max_length`` is too small, which no value of it
can mend.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from mindformers.generation.text_generator import GenerationMixin

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.patches._families import first_reason, inference_classes
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_METHOD = "generate"
_changes = AttributeChanges()


def _method(cls: type) -> Any:
    @functools.wraps(getattr(GenerationMixin, _METHOD))
    def generate(self: Any, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        length, most = _longest(input_ids), self.config.seq_length
        if length > most:
            raise ValueError(
                f"the prompt has {length} tokens, but the model was built for sequences of {most}: load it with a "
                f"larger seq_length, e.g. from_pretrained(..., seq_length={max(2 * most, 2 * length)}), which takes "
                "prompt and answer together"
            )
        return getattr(super(cls, self), _METHOD)(input_ids, *args, **kwargs)

    return generate


def _longest(input_ids: Any) -> int:
    """Return the number of tokens of the longest prompt, of one or of a batch, in whatever they are."""
    if isinstance(input_ids, (list, tuple)):
        return max((int(np.size(row)) for row in input_ids), default=0) if _nested(input_ids) else len(input_ids)
    shape = getattr(input_ids, "shape", ())
    return int(shape[-1]) if shape else 0


def _nested(rows: Any) -> bool:
    return any(np.ndim(row) for row in rows)


def supports() -> str | None:
    """Step aside if an inference class has a method of its own."""
    return first_reason(_defined_upstream)


def _defined_upstream(family: Family) -> str | None:
    if defining_class(family.load(family.inference_class), _METHOD) is not GenerationMixin:
        return f"{_METHOD} is no longer GenerationMixin's"
    return None


def apply() -> None:
    """Define the method on the inference classes, calling on to the mixin's."""
    for _, cls in inference_classes():
        _changes.set(cls, _METHOD, _method(cls))


def revert() -> None:
    """Delete it again."""
    _changes.restore()
