"""``Qwen3ForCausalLM.from_pretrained`` and ``InferenceQwen3ForCausalLM.from_pretrained`` on a HuggingFace directory.

The same for a mixture of experts. The method is defined on their common base, which inherits it. The training class
shares that base and is left to stock.
"""

from __future__ import annotations

import functools
from typing import Any

from mindformers.models.modeling_utils import PreTrainedModel

from mf_qwen3_patch.checkpoint.files.directory import is_huggingface_directory
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading.pretrained import load_pretrained
from mf_qwen3_patch.patches._dispatch import guarded_classmethod
from mf_qwen3_patch.patches._families import base_classes, first_reason
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_changes = AttributeChanges()


def _method(family: Family) -> Any:
    stock = PreTrainedModel.from_pretrained.__func__
    # These classes are Qwen3 by name: a directory of another model is refused, not passed on.
    ours = functools.partial(load_pretrained, family=family)
    guarded = guarded_classmethod(stock, ours, answers_for=is_huggingface_directory)

    @functools.wraps(stock)
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        if cls is family.load(family.training_class):
            kwargs["auto_convert"] = False
        return guarded.__func__(cls, *args, **kwargs)

    return classmethod(from_pretrained)


def supports() -> str | None:
    """Step aside if Qwen3 has a ``from_pretrained`` of its own."""
    return first_reason(_defined_upstream)


def _defined_upstream(family: Family) -> str | None:
    if defining_class(family.load(family.base_class), "from_pretrained") is not PreTrainedModel:
        return f"MindFormers' {family.model_type} classes define from_pretrained themselves"
    return None


def apply() -> None:
    """Define the method on the base classes."""
    for family, cls in base_classes():
        _changes.set(cls, "from_pretrained", _method(family))


def revert() -> None:
    """Delete it again."""
    _changes.restore()
