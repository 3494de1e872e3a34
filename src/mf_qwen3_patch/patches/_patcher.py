"""Setting attributes so that they can be put back exactly as they were."""

from __future__ import annotations

from typing import Any

_ABSENT = object()


class AttributeChanges:
    """Attributes set on classes or modules, and what was in their place.

    The original is read from ``vars(owner)``, not with ``getattr``: an attribute that was inherited
    is deleted again on ``restore``, not frozen into a copy of what the base class had.
    """

    def __init__(self) -> None:
        self._originals: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Set ``owner.name`` and remember what ``vars(owner)`` held."""
        self._originals.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, value)

    def restore(self) -> None:
        """Undo every ``set``, last one first."""
        while self._originals:
            owner, name, original = self._originals.pop()
            if original is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def defining_class(cls: type, name: str) -> type | None:
    """Return the class in the MRO of ``cls`` that defines ``name``, or None.

    ``hasattr`` cannot tell a working method from the stub that a mixin defines only to raise.
    """
    return next((owner for owner in cls.__mro__ if name in vars(owner)), None)
