"""``Qwen3ForCausalLM.from_pretrained`` and ``InferenceQwen3ForCausalLM.from_pretrained`` on a HuggingFace directory.

The same for a mixture of experts. The method is defined on their common base, which inherits it. The training class
shares that base and is left to stock.
"""

from __future__ import annotations

import functools
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import is_huggingface_directory
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.patches._dispatch import guarded_classmethod, load_pretrained
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, base_classes

_BASE = "mindformers.models.modeling_utils:PreTrainedModel"


def _from_pretrained(family: Family, inherited: Any) -> Any:
    stock = inherited.__func__
    # These classes are Qwen3 by name: a directory of another model is refused, not passed on.
    ours = functools.partial(load_pretrained, family=family)
    guarded = guarded_classmethod(stock, ours, answers_for=is_huggingface_directory)

    @functools.wraps(stock)
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        if cls is family.load(family.training_class):
            kwargs["auto_convert"] = False
        return guarded.__func__(cls, *args, **kwargs)

    return classmethod(from_pretrained)


PATCH = MethodPatches(
    *(
        MethodPatch(cls, "from_pretrained", functools.partial(_from_pretrained, family), _BASE)
        for family, cls in base_classes()
    )
)
