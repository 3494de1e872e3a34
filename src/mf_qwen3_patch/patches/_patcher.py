"""Replace attributes that are named by strings, and put them back exactly as they were."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.errors import LatePatchWarning
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import FAMILIES

_ABSENT = object()
_OURS_TO_REBIND = ("__main__", "mindspore", "mindformers")


@dataclass(frozen=True)
class MethodPatch:
    """One attribute of a class or module, and what takes its place."""

    owner: str  # ``module:Class`` or ``module``; imported when the patch is applied, its package is complete then
    name: str
    # Makes the replacement of what is there, own or inherited, None if nothing is; the same object changes nothing.
    make: Callable[[Any], Any]
    expected_owner: str = ""  # the class that must define it; anything else means that upstream has changed
    everywhere: bool = False  # whether other modules have copied the name (see ``_rebind``)

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
    """The attributes that change together, or not at all, unless ``supports`` returns why they must not."""

    def __init__(self, *patches: MethodPatch, supports: Callable[[], str | None] = lambda: None) -> None:
        self._patches = patches
        self._supports = supports
        self._undo: list[Callable[[], object]] = []

    def supports(self) -> str | None:
        """Return why the patch must step aside in this release, None if it can be applied."""
        return self._supports() or next(filter(None, (patch.reason() for patch in self._patches)), None)

    def apply(self) -> None:
        """Replace every attribute, or none if one cannot be."""
        try:
            for patch in self._patches:
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
            self._undo.append(lambda: _rebind(vars(owner)[patch.name], stock))
            _rebind(stock, replacement)
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


def around(replacement: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let ``replacement(stock, *args, **kwargs)`` answer every call."""

    def make(stock: Callable[..., Any]) -> Callable[..., Any]:
        # A plain function, not a wrapper object: it pickles by name like the original.
        @functools.wraps(stock)
        def patched(*args: Any, **kwargs: Any) -> Any:
            return replacement(stock, *args, **kwargs)

        return patched

    return make


def inference_method(name: str, make: Callable[[Any], Any], expected_owner: str = "") -> list[MethodPatch]:
    """Return the patches of a method of each family's inference class."""
    classes = [class_path(family, family.inference_class) for family in FAMILIES.values()]
    return [MethodPatch(cls, name, make, expected_owner) for cls in classes]


def class_path(family: Family, name: str) -> str:
    """Return a class of a family as ``module:Class``."""
    return ":".join(f"{family.module}.{name}".rsplit(".", 1))


def _rebind(old: object, new: object) -> None:
    """Bind every module-level name of ``old`` to ``new``.

    ``from mindspore import load_checkpoint`` copies the function object: whoever did so before keeps the old one.
    MindSpore's and MindFormers' own modules and ``__main__`` are rebound; every other module is left alone and named in
    a warning, because rewriting somebody else's namespace is not ours to do.
    """
    kept: list[str] = []
    for module_name, module in sorted(sys.modules.copy().items()):
        if not isinstance(module, ModuleType) or module_name.startswith("mf_qwen3_patch"):
            continue
        for name in [name for name, value in list(vars(module).items()) if value is old]:
            if module_name.split(".")[0] in _OURS_TO_REBIND:
                setattr(module, name, new)
            else:
                kept.append(f"{module_name}.{name}")
    if kept:
        warn(
            f"imported before the patch was applied or reverted, and still the old function: {', '.join(kept)}. "
            "Import mf_qwen3_patch before them, or import the name again.",
            LatePatchWarning,
        )
