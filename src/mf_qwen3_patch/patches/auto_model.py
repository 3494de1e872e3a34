"""``AutoModel.from_pretrained`` and ``AutoModelForCausalLM.from_pretrained`` on a HuggingFace Qwen3 directory."""

from __future__ import annotations

from mindformers.models.auto.modeling_auto import AutoModel, AutoModelForCausalLM

from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.loading.pretrained import load_pretrained
from mf_qwen3_patch.patches._dispatch import guarded_classmethod
from mf_qwen3_patch.patches._patcher import AttributeChanges

# AutoModel inherits the method from a base class, AutoModelForCausalLM has a copy of its own: each needs it.
_CLASSES = (AutoModel, AutoModelForCausalLM)
_changes = AttributeChanges()


def supports() -> str | None:
    """Step aside if MindFormers maps one of the families itself."""
    for cls in _CLASSES:
        mapping = cls._model_mapping
        registered = {getattr(config, "model_type", None) for config in mapping._extra_content}
        if known := [name for name in FAMILIES if name in registered.union(mapping._model_mapping)]:
            return f"MindFormers' {cls.__name__} maps {known[0]} itself"
    return None


def apply() -> None:
    """Define the method on both classes."""
    for cls in _CLASSES:
        _changes.set(cls, "from_pretrained", guarded_classmethod(cls.from_pretrained.__func__, load_pretrained))


def revert() -> None:
    """Restore both."""
    _changes.restore()
