"""Replace attributes that are named by strings, and put them back exactly as they were."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.patches._rebinding import rebind

_ABSENT = object()


@dataclass(frozen=True)
class MethodPatch:
    """One attribute of a class or module, and what takes its place.

    Attributes:
        owner: ``module:Class`` or ``module``; imported when the patch is applied, its package is complete then.
        name: The attribute.
        make: Makes the replacement of what is there, own or inherited, None if nothing is; the same object if
            nothing shall change.
        expected_owner: The class that must define the attribute; anything else means that upstream has changed.
        everywhere: Whether other modules have copied the name (see ``rebind``).
    """

    owner: str
    name: str
    make: Callable[[Any], Any]
    expected_owner: str = ""
    everywhere: bool = False

    def reason(self) -> str | None:
        """Return why the attribute must be left alone, None if it can be replaced."""
        if not self.expected_owner:
            return None
        owner = resolve(self.owner)
        # hasattr cannot tell a working method from the stub that a mixin defines only to raise.
        defining = next((cls for cls in owner.__mro__ if self.name in vars(cls)), None)
        if defining is None:
            return f"{owner.__name__} has no {self.name} any more"
        if defining is not resolve(self.expected_owner):
            return f"{defining.__module__}.{defining.__qualname__} defines {self.name} itself"
        return None


class MethodPatches:
    """The attributes that change together, or not at all.

    Args:
        patches: Applied in this order, and reverted in the reverse one.
        supports: Returns why all of them must step aside, None if they need not.
    """

    def __init__(self, *patches: MethodPatch, supports: Callable[[], str | None] = lambda: None) -> None:
        self.patches = patches
        self._supports = supports
        self._undo: list[Callable[[], object]] = []

    def supports(self) -> str | None:
        """Return why the patch must step aside in this release, None if it can be applied."""
        reasons = (patch.reason() for patch in self.patches)
        return self._supports() or next(filter(None, reasons), None)

    def apply(self) -> None:
        """Replace every attribute, or none if one cannot be."""
        try:
            for patch in self.patches:
                self._replace(patch)
        except BaseException:
            self.revert()
            raise

    def revert(self) -> None:
        """Put every original back; what was inherited is inherited again."""
        while self._undo:
            self._undo.pop()()

    def _replace(self, patch: MethodPatch) -> None:
        owner = resolve(patch.owner)
        stock = inspect.getattr_static(owner, patch.name, None)
        replacement = patch.make(stock)
        if replacement is stock:
            return
        if patch.everywhere:
            self._undo.append(lambda: rebind(vars(owner)[patch.name], stock))
            rebind(stock, replacement)
            return
        # Not ``stock``, which may be a base class's: a copy of it would hide what that class has later.
        original = vars(owner).get(patch.name, _ABSENT)
        restore = (owner, patch.name) if original is _ABSENT else (owner, patch.name, original)
        self._undo.append(functools.partial(delattr if original is _ABSENT else setattr, *restore))
        setattr(owner, patch.name, replacement)


def resolve(path: str) -> Any:
    """Import what ``module:Class`` or ``module`` names."""
    module, _, name = path.partition(":")
    return functools.reduce(getattr, filter(None, name.split(".")), importlib.import_module(module))


def inference_classes() -> list[tuple[Family, str]]:
    """Return each family and the path of its inference class."""
    return [(family, _path(family, family.inference_class)) for family in FAMILIES.values()]


def base_classes() -> list[tuple[Family, str]]:
    """Return each family and the path of the class that its others inherit from."""
    return [(family, _path(family, family.base_class)) for family in FAMILIES.values()]


def _path(family: Family, name: str) -> str:
    return ":".join(f"{family.module}.{name}".rsplit(".", 1))
