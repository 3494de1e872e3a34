"""``AutoConfig.from_pretrained`` on a HuggingFace Qwen3 directory, dense or a mixture of experts."""

from __future__ import annotations

from mindformers.models.auto.configuration_auto import CONFIG_MAPPING, AutoConfig

from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.loading.mindformers_config import load_config
from mf_qwen3_patch.patches._dispatch import guarded_classmethod
from mf_qwen3_patch.patches._patcher import AttributeChanges

_changes = AttributeChanges()


def supports() -> str | None:
    """Step aside if MindFormers maps one of the families itself."""
    for model_type in FAMILIES:
        if model_type in CONFIG_MAPPING:
            return f"MindFormers' AutoConfig knows {model_type} itself"
    return None


def apply() -> None:
    """Define the method on AutoConfig."""
    _changes.set(AutoConfig, "from_pretrained", guarded_classmethod(AutoConfig.from_pretrained.__func__, load_config))


def revert() -> None:
    """Restore it."""
    _changes.restore()
