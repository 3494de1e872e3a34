"""``Qwen3ForCausalLM.from_pretrained`` and ``InferenceQwen3ForCausalLM.from_pretrained`` on a HuggingFace directory.

The method is defined on their common base, which inherits it. The training class shares that base and is left to stock.
"""

from __future__ import annotations

import functools
from typing import Any

from mindformers.models.modeling_utils import PreTrainedModel
from mindformers.models.qwen3.utils import Qwen3PreTrainedModel

from mf_qwen3_patch.checkpoint.directory import is_huggingface_directory
from mf_qwen3_patch.loading.families import QWEN3
from mf_qwen3_patch.loading.pretrained import load_pretrained
from mf_qwen3_patch.patches._attributes import AttributeChanges, defining_class
from mf_qwen3_patch.patches._doors import guarded_classmethod

_changes = AttributeChanges()


def _method() -> Any:
    stock = PreTrainedModel.from_pretrained.__func__
    # These classes are Qwen3 by name: a directory of another model is refused, not passed on.
    guarded = guarded_classmethod(stock, load_pretrained, answers_for=is_huggingface_directory)

    @functools.wraps(stock)
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        if cls is QWEN3.load(QWEN3.training_class):
            kwargs["auto_convert"] = False
        return guarded.__func__(cls, *args, **kwargs)

    return classmethod(from_pretrained)


def supports() -> str | None:
    """Step aside if Qwen3 has a ``from_pretrained`` of its own."""
    if defining_class(Qwen3PreTrainedModel, "from_pretrained") is not PreTrainedModel:
        return "MindFormers' Qwen3 classes define from_pretrained themselves"
    return None


def apply() -> None:
    """Define the method on the base class."""
    _changes.set(Qwen3PreTrainedModel, "from_pretrained", _method())


def revert() -> None:
    """Delete it again."""
    _changes.restore()
