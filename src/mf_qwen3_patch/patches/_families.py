"""The stock classes that the patches are applied to: those of every family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import FAMILIES


def inference_classes() -> Iterator[tuple[Family, Any]]:
    """Yield each family and its inference class."""
    return ((family, family.load(family.inference_class)) for family in FAMILIES.values())


def base_classes() -> Iterator[tuple[Family, Any]]:
    """Yield each family and the class that its others inherit from."""
    return ((family, family.load(family.base_class)) for family in FAMILIES.values())


def first_reason(reasons: Callable[[Family], str | None]) -> str | None:
    """Return why a patch must step aside for one of the families; it is applied to all of them or to none."""
    return next((reason for family in FAMILIES.values() if (reason := reasons(family)) is not None), None)
