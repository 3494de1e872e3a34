"""Replace attributes that are named by strings, and put them back exactly as they were."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
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
    deferred: bool = False  # waits for ``complete`` if the owner's module is not imported yet, and does not import it

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


@dataclass(frozen=True)
class _Place:
    """One attribute that was replaced; foreign values are not compared: a proxy equals what it wraps."""

    path: str  # of the owner
    name: str
    ours: Any
    owner: Any = field(compare=False)
    # ``_ABSENT`` if inherited: a copy of a base class's would hide what that class has later.
    original: Any = field(compare=False)
    stock: Any = field(compare=False)

    def __str__(self) -> str:
        return f"{self.path.replace(':', '.')}.{self.name}"

    def current(self) -> Any:
        return vars(self.owner).get(self.name, _ABSENT)


class MethodPatches:
    """The attributes that change together, or not at all, unless ``supports`` returns why they must not.

    Ours may outlive ``revert`` in somebody's wrapper or mock: it then does what stock does, until ``apply``. Therefore
    the places are never forgotten: the same original gets the same replacement again.
    """

    def __init__(
        self,
        *patches: MethodPatch,
        supports: Callable[[], str | None] = lambda: None,
        before_revert: Callable[[], object] = lambda: None,
    ) -> None:
        self._patches = patches
        self._supports = supports
        self._before_revert = before_revert
        self._places: list[_Place] = []
        self._active = False
        self._completing = threading.Lock()

    def supports(self) -> str | None:
        """Return why the patch must step aside in this release, None if it can be applied."""
        if self._places:  # it could; what is there now may be somebody's wrapper of ours
            return None
        return self._supports() or next(filter(None, (patch.reason() for patch in self._patches)), None)

    def apply(self) -> None:
        """Replace every attribute, or none if one cannot be. Where ours is already, under whatever, it stays."""
        try:
            for patch in self._patches:
                if not patch.deferred or patch.owner.partition(":")[0] in sys.modules:
                    self._replace(patch)
        except BaseException:
            self.revert()
            raise
        self._active = True

    def complete(self) -> None:
        """Replace what was deferred, if the rest is applied."""
        with self._completing:
            for patch in self._patches:
                if patch.deferred and self._active:
                    self._replace(patch)

    def revert(self) -> list[str]:
        """Put every original back; what was inherited is inherited again.

        Returns the attributes in whose place somebody else has put something since; they keep it.
        """
        self._before_revert()
        self._active = False
        if any(patch.everywhere for patch in self._patches):
            for ours, stock in {place.ours: place.stock for place in self._places}.items():
                _rebind(ours, stock)
        for place in reversed([place for place in self._places if place.current() is place.ours]):
            where = (place.owner, place.name)
            delattr(*where) if place.original is _ABSENT else setattr(*where, place.original)
        originals = {id(value) for place in self._places for value in (place.original, place.stock)}
        return sorted({str(place) for place in self._places if id(place.current()) not in originals})

    def lost(self) -> list[str]:
        """Return the attributes that hold neither ours nor, as far as ``__wrapped__`` shows, a wrapper of it."""
        return sorted({str(place) for place in self._places if not self._is_ours(_find(place.path), place.name)})

    def _is_ours(self, owner: Any, name: str) -> bool:
        ours = {id(_function(place.ours)) for place in self._places}
        found = inspect.unwrap(inspect.getattr_static(owner, name, None), stop=lambda it: id(_function(it)) in ours)
        return id(_function(found)) in ours

    def _replace(self, patch: MethodPatch) -> None:
        owner = resolve(patch.owner)
        stock = inspect.getattr_static(owner, patch.name, None)
        if self._is_ours(owner, patch.name):
            if not patch.everywhere:
                return
            stock = [place.stock for place in self._places if place.name == patch.name][-1]
        same = (place for place in self._places if place.stock is stock and place.name == patch.name)
        ours = next((place.ours for place in same if patch.everywhere or place.owner is owner), None)
        if ours is None:
            if (made := patch.make(stock)) is stock:
                return
            ours = self._switched(made, stock)
        if not patch.everywhere:
            places = [_Place(patch.owner, patch.name, ours, owner, vars(owner).get(patch.name, _ABSENT), stock)]
            setattr(owner, patch.name, ours)
        else:
            places = _rebind(stock, ours)
        self._places += [place for place in places if place not in self._places]

    def _switched(self, made: Any, stock: Any) -> Any:
        """Return ``made`` so that it passes straight through to ``stock``, if there is one, while not applied."""
        function = _function(made)

        # A plain function, not a wrapper object: it pickles by name like the original.
        @functools.wraps(function)
        def patched(*args: Any, **kwargs: Any) -> Any:
            if self._active or stock is None:
                return function(*args, **kwargs)
            return stock(*args, **kwargs) if function is made else stock.__get__(None, args[0])(*args[1:], **kwargs)

        return patched if function is made else classmethod(patched)


def _function(value: Any) -> Any:
    return getattr(value, "__func__", value)


def _find(path: str) -> Any:
    """Return what ``resolve`` would, but import nothing: None where there is nothing."""
    module, _, name = path.partition(":")
    found = sys.modules.get(module)
    return inspect.getattr_static(found, name, None) if name else found


def resolve(path: str) -> Any:
    """Import what ``module:Class`` or ``module`` names."""
    module, _, name = path.partition(":")
    return functools.reduce(getattr, filter(None, name.split(".")), importlib.import_module(module))


def around(replacement: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let ``replacement(stock, *args, **kwargs)`` answer every call."""

    def make(stock: Callable[..., Any]) -> Callable[..., Any]:
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


def _rebind(old: object, new: object) -> list[_Place]:
    """Bind every module-level name of ``old`` to ``new``; return where.

    ``from mindspore import load_checkpoint`` copies the function object: whoever did so before keeps the old one.
    MindSpore's and MindFormers' own modules and ``__main__`` are rebound; every other module is left alone and named in
    a warning, because rewriting somebody else's namespace is not ours to do.
    """
    bound: list[_Place] = []
    kept: set[str] = set()
    rebound = -1
    while rebound < len(bound):  # meanwhile another thread may copy a name from a module whose turn has not come yet
        rebound = len(bound)
        for module_name, module in sorted(sys.modules.copy().items()):
            if not isinstance(module, ModuleType) or module_name.startswith("mf_qwen3_patch"):
                continue
            for name in [name for name, value in vars(module).copy().items() if value is old]:
                if module_name.split(".")[0] in _OURS_TO_REBIND:
                    setattr(module, name, new)
                    bound.append(_Place(module_name, name, new, module, old, old))
                else:
                    kept.add(f"{module_name}.{name}")
    if kept:
        warn(
            f"imported before the patch was applied or reverted, and still the old function: {', '.join(sorted(kept))}."
            " Import mf_qwen3_patch before them, or import the name again.",
            LatePatchWarning,
        )
    return bound
