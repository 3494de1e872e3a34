"""In eager mode, every ``generate()`` call prefills; stock does so for the first call only.

Stock switches the network between prefill and decode with flags that it sets once per model
(``_exec_add_flags``). A compiled graph remembers its own; in eager mode the flag stays on decode, so
the second prompt is silently run through paged attention and gives wrong tokens.
"""

from __future__ import annotations

import functools
from typing import Any

from mindformers.generation.text_generator import GenerationMixin
from mindformers.tools.utils import is_pynative

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.patches._families import first_reason, inference_classes
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_METHOD = "_incremental_infer_mcore"
_changes = AttributeChanges()


def _method(cls: type) -> Any:
    @functools.wraps(getattr(GenerationMixin, _METHOD))
    def incremental_infer(self: Any, model_inputs: dict[str, Any], prefill: bool, *args: Any, **kwargs: Any) -> Any:
        if prefill and is_pynative():
            self._exec_add_flags = True
        stock = getattr(super(cls, self), _METHOD)
        return stock(model_inputs, prefill, *args, **kwargs)

    return incremental_infer


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
