"""``AutoModel.from_pretrained`` and ``AutoModelForCausalLM.from_pretrained`` on a HuggingFace Qwen3 directory."""

from __future__ import annotations

from typing import Any

from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.patches._dispatch import guarded_classmethod, load_pretrained
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, resolve

_MODULE = "mindformers.models.auto.modeling_auto"
# AutoModel inherits the method from a base class, AutoModelForCausalLM has a copy of its own: each needs it.
_CLASSES = (f"{_MODULE}:AutoModel", f"{_MODULE}:AutoModelForCausalLM")


def _known_upstream() -> str | None:
    for cls in map(resolve, _CLASSES):
        mapping = cls._model_mapping
        registered = {getattr(config, "model_type", None) for config in mapping._extra_content}
        if known := [name for name in FAMILIES if name in registered.union(mapping._model_mapping)]:
            return f"MindFormers' {cls.__name__} maps {known[0]} itself"
    return None


def _from_pretrained(stock: Any) -> Any:
    return guarded_classmethod(stock.__func__, load_pretrained)


PATCH = MethodPatches(
    *(MethodPatch(cls, "from_pretrained", _from_pretrained) for cls in _CLASSES), supports=_known_upstream
)
