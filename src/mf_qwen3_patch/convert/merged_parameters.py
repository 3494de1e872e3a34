"""The MindFormers parameters of a whole model, and the HuggingFace tensors that they are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from mf_qwen3_patch.families.mindformers import Family
from mf_qwen3_patch.loading.transfer.name_mapping import Place, place_of

_T = TypeVar("_T")


@dataclass(frozen=True)
class MergedParameter:
    """A MindFormers parameter and the HuggingFace tensors that it is made of.

    Attributes:
        name: Its name.
        element: Its path element if it is merged, e.g. ``linear_qkv``, else None.
        experts: Whether it holds the matrices of all experts.
        matrices: The tensors' names, part by part: of one matrix, or of each expert's, in order.
    """

    name: str
    element: str | None
    experts: bool
    matrices: tuple[tuple[str, ...], ...]


def merged_parameters(model_class: Any, names: Iterable[str], family: Family) -> list[MergedParameter]:
    """Group HuggingFace tensors by the parameters that they make, in the order of their first tensors.

    Args:
        model_class: The inference class.
        names: Of all the tensors of a sound model.
        family: The model family.
    """
    found: dict[str, tuple[Place, dict[int, dict[int, str]]]] = {}
    for name in names:
        place = place_of(model_class, name, family)
        _, matrices = found.setdefault(place.parameter, (place, {}))
        matrices.setdefault(place.expert or 0, {})[place.part] = name
    return [
        MergedParameter(name, place.merged, place.expert is not None, tuple(map(_in_order, _in_order(matrices))))
        for name, (place, matrices) in found.items()
    ]


def _in_order(numbered: dict[int, _T]) -> tuple[_T, ...]:
    return tuple(numbered[number] for number in sorted(numbered))
