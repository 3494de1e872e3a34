"""The attention mask of a decode step has the dtype that the network declares for it.

Stock makes the mask in bfloat16 (float16 on an Ascend 310P) when it builds the model, and declares the compute dtype
for it before the first step: a float16 model prefills, and its first decoded token is a TypeError.
"""

from __future__ import annotations

import functools
from typing import Any

from mindformers.parallel_core.inference.model_utils import InferModelMixin
from mindspore import Tensor

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.patches._families import first_reason, inference_classes
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_METHOD = "set_dynamic_inputs"
_changes = AttributeChanges()


def _method(cls: type) -> Any:
    @functools.wraps(getattr(InferModelMixin, _METHOD))
    def set_dynamic_inputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.hard_mask.dtype != self.compute_dtype:
            self.hard_mask = Tensor([[0]], dtype=self.compute_dtype)  # made on the host: nothing is launched
        return getattr(super(cls, self), _METHOD)(*args, **kwargs)

    return set_dynamic_inputs


def supports() -> str | None:
    """Step aside if an inference class has a method of its own."""
    return first_reason(_defined_upstream)


def _defined_upstream(family: Family) -> str | None:
    if defining_class(family.load(family.inference_class), _METHOD) is not InferModelMixin:
        return f"{_METHOD} is no longer InferModelMixin's"
    return None


def apply() -> None:
    """Define the method on the inference classes, calling on to the mixin's."""
    for _, cls in inference_classes():
        _changes.set(cls, _METHOD, _method(cls))


def revert() -> None:
    """Delete it again."""
    _changes.restore()
