"""In eager mode, every ``generate()`` call prefills; stock does so for the first call only.

Stock switches the network between prefill and decode with flags that it sets once per model
(``_exec_add_flags``). A compiled graph remembers its own; in eager mode the flag stays on decode, so
the second prompt is silently run through paged attention and gives wrong tokens.
"""

from __future__ import annotations

import functools
from typing import Any

from mindformers.generation.text_generator import GenerationMixin
from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
from mindformers.tools.utils import is_pynative

from mf_qwen3_patch.patches._attributes import AttributeChanges, defining_class

_METHOD = "_incremental_infer_mcore"
_changes = AttributeChanges()


@functools.wraps(getattr(GenerationMixin, _METHOD))
def _incremental_infer_mcore(self: Any, model_inputs: dict[str, Any], prefill: bool, *args: Any, **kwargs: Any) -> Any:
    if prefill and is_pynative():
        self._exec_add_flags = True
    stock = getattr(super(InferenceQwen3ForCausalLM, self), _METHOD)
    return stock(model_inputs, prefill, *args, **kwargs)


def supports() -> str | None:
    """Step aside if the inference class has a method of its own."""
    if defining_class(InferenceQwen3ForCausalLM, _METHOD) is not GenerationMixin:
        return f"{_METHOD} is no longer GenerationMixin's"
    return None


def apply() -> None:
    """Define the method on the inference class, calling on to the mixin's."""
    _changes.set(InferenceQwen3ForCausalLM, _METHOD, _incremental_infer_mcore)


def revert() -> None:
    """Delete it again."""
    _changes.restore()
