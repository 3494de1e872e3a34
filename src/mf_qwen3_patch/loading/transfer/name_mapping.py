"""MindFormers' own map from HuggingFace's names, and the place that it gives a tensor."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from mf_qwen3_patch.families.family import Family, FusedParameter
from mf_qwen3_patch.families.registry import FAMILIES


@dataclass(frozen=True)
class Place:
    """The parameter that a HuggingFace tensor becomes, or becomes a part of."""

    parameter: str
    fused: FusedParameter | None = None  # also None if the tensor is fused already
    part: int = 0
    expert: int | None = None  # in a parameter that holds the matrices of all


def convert_name(model_class: Any, name: str) -> str:
    """Translate one HuggingFace tensor name by the class's ``weight_mapping``.

    Unlike ``ModelMixin.convert_name`` this needs no instance and no context; MindFormers' own names stay as they are.
    """
    for huggingface_part, mindformers_part in model_class.weight_mapping:
        name = name.replace(huggingface_part, mindformers_part)
    return name


def place_of(model_class: Any, name: str, family: Family) -> Place:
    """Return where a tensor goes, by its HuggingFace name or the one that MindFormers gives the part."""
    path = convert_name(model_class, name).split(".")
    for fused in family.fused:
        if fused.stacked:
            if len(path) > 4 and path[-4] == "experts" and path[-3].isdecimal() and path[-2] in fused.parts:
                part = fused.parts.index(path[-2])
                return Place(".".join([*path[:-3], fused.target]), fused, part, int(path[-3]))
        elif len(path) > 1 and path[-2] in fused.parts:
            part = fused.parts.index(path[-2])
            return Place(".".join([*path[:-2], fused.target, path[-1]]), fused, part)
    return Place(".".join(path))


@dataclass(frozen=True)
class PartNames:
    """The HuggingFace tensors that one MindFormers parameter is made of; ``fused`` is None if it is one tensor.

    Their names go expert by expert, part by part; of what is not stacked there is one row.
    """

    parameter: str
    fused: FusedParameter | None
    names: tuple[tuple[str, ...], ...]


def group_by_parameter(model_class: Any, names: Iterable[str], family: Family) -> list[PartNames]:
    """Group the HuggingFace tensors of a sound model by parameter, in the order of their first tensors."""
    fused: dict[str, FusedParameter | None] = {}
    matrices: dict[str, dict[int, dict[int, str]]] = {}
    for name in names:
        place = place_of(model_class, name, family)
        fused[place.parameter] = place.fused
        matrices.setdefault(place.parameter, {}).setdefault(place.expert or 0, {})[place.part] = name
    return [
        PartNames(name, fused[name], tuple(tuple(row[part] for part in sorted(row)) for _, row in sorted(rows.items())))
        for name, rows in matrices.items()
    ]


def of_another_family(parameters: Collection[str], family: Family) -> tuple[str, Family] | None:
    """Recognize the parameters of a mixture of experts where those of a dense model should be, and the reverse.

    Returns the name of one, and its family; None if there is none, or if some parameters are of ``family`` alone.
    """

    def first(elements: set[str]) -> str | None:
        return next((name for name in parameters if not elements.isdisjoint(name.split(".")[-2:])), None)

    own = {fused.target for fused in family.fused}
    for other in FAMILIES.values():
        others = {fused.target for fused in other.fused}
        witness = first(others - own)
        if witness is not None and first(own - others) is None:
            return witness, other
    return None
