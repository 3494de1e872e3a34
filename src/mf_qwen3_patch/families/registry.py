"""The families that can be loaded; a new one is a file beside this and an entry here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.qwen3_moe import QWEN3_MOE
from mf_qwen3_patch.families.tensors import TensorName, parse_name

FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (QWEN3, QWEN3_MOE)}
"""By model_type."""

_OUTER = frozenset(name for family in FAMILIES.values() for name in family.outer_tensors)
_ROLES = frozenset(role for family in FAMILIES.values() for role in family.layer_tensors)
_ROOTS = tuple({root for family in FAMILIES.values() for root in family.parameter_roots})


def find_family(raw: Mapping[str, Any]) -> Family | None:
    """Return the family of a raw config: by its model_type, else by its architectures; None if it is no Qwen3's."""
    model_type, architectures = raw.get("model_type"), raw.get("architectures")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    names = architectures if isinstance(architectures, list) else []
    return next((family for family in FAMILIES.values() if family.architecture in names), None)


def is_known(name: str | TensorName) -> bool:
    """Return whether a model of any family has a HuggingFace tensor of this name."""
    parsed = parse_name(name) if isinstance(name, str) else name
    return parsed.role in (_OUTER if parsed.layer is None else _ROLES)


def is_parameter_name(name: str) -> bool:
    """Return whether ``name`` is one that MindFormers gives a parameter of any family, fused or not."""
    return name.removeprefix("model.").startswith(_ROOTS)
