"""``AutoConfig.from_pretrained`` on a HuggingFace Qwen3 directory, dense or a mixture of experts."""

from __future__ import annotations

from typing import Any

from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.patches._dispatch import guarded_classmethod
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, resolve

_MODULE = "mindformers.models.auto.configuration_auto"


def _load_config(*args: Any, **kwargs: Any) -> Any:
    from mf_qwen3_patch.loading.mindformers_config import load_config

    return load_config(*args, **kwargs)


def _known_upstream() -> str | None:
    known = [model_type for model_type in FAMILIES if model_type in resolve(_MODULE).CONFIG_MAPPING]
    return f"MindFormers' AutoConfig knows {known[0]} itself" if known else None


PATCH = MethodPatches(
    MethodPatch(
        f"{_MODULE}:AutoConfig", "from_pretrained", lambda stock: guarded_classmethod(stock.__func__, _load_config)
    ),
    supports=_known_upstream,
)
