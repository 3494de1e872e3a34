"""Which HuggingFace tensors make which MindFormers parameter, by MindFormers' own name map."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mf_qwen3_patch.families.mindformers import FAMILIES, Family
from mf_qwen3_patch.loading.weight_dict import convert_name

# The path element of MindFormers' module that holds the experts.
_EXPERTS = "experts"


@dataclass(frozen=True)
class Place:
    """Where a HuggingFace tensor goes.

    Attributes:
        parameter: The MindFormers parameter's name.
        merged: The parameter's path element if it is merged, e.g. ``linear_qkv``, else None.
        part: Which of the merged parts the tensor is; 0 if there is only one.
        expert: The number of the expert whose matrix it is, in a parameter that holds those of all; else None.
    """

    parameter: str
    merged: str | None = None
    part: int = 0
    expert: int | None = None


def of_another_family(parameters: Collection[str], family: Family) -> tuple[str, Family] | None:
    """Recognize the parameters of a mixture of experts where those of a dense model should be, and the reverse.

    Args:
        parameters: MindFormers names.
        family: Whose they should be.

    Returns:
        One that only the other family has, and that family; None if there is none, or if some are of ``family`` alone.
    """

    def first(elements: set[str]) -> str | None:
        return next((name for name in parameters if not elements.isdisjoint(name.split(".")[-2:])), None)

    for other in FAMILIES.values():
        witness = first(other.merged - family.merged)
        if witness is not None and first(family.merged - other.merged) is None:
            return witness, other
    return None


def place_of(model_class: Any, name: str, family: Family) -> Place:
    """Return where the HuggingFace tensor ``name`` goes.

    Args:
        model_class: The inference class.
        name: The tensor's name.
        family: The model family.
    """
    path = convert_name(model_class, name).split(".")
    if family.stacked and len(path) > 4 and path[-4] == _EXPERTS and path[-3].isdecimal():
        for stacked, parts in family.stacked.items():
            if path[-2] in parts:
                return Place(".".join([*path[:-3], stacked]), stacked, parts.index(path[-2]), int(path[-3]))
    for merged, parts in family.fused.items():
        if len(path) > 1 and path[-2] in parts:
            part = parts.index(path[-2])
            path[-2] = merged
            return Place(".".join(path), merged, part)
    return Place(".".join(path))
