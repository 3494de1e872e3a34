"""Replacing a kernel in one module only, and only on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


def _stands_in() -> bool:
    import mindspore

    if mindspore.get_context("device_target") != "CPU":
        return False
    _launch_one_by_one()
    return True


@cache
def _launch_one_by_one() -> None:
    """Have MindSpore wait for each operation, from now on in this process.

    A stand-in reads its arguments back, and waiting for MindSpore's pipeline of threads takes several
    times as long as the operations of a small model.
    """
    import mindspore

    mindspore.runtime.launch_blocking()


class Overlay:
    """A namespace that answers like ``module``, but for the names given while the device target is the CPU.

    A MindFormers module that uses ``ops.ApplyRotaryPosEmb`` is given an overlay in place of its own name ``ops``;
    nobody else's ``ops`` changes.
    """

    def __init__(self, module: Any, **replacements: Any) -> None:
        self._module = module
        self._replacements = replacements

    def __getattr__(self, name: str) -> Any:
        if name in self._replacements and (isinstance(self._replacements[name], Overlay) or _stands_in()):
            return self._replacements[name]
        return getattr(self._module, name)


def choose_by_device(stand_in: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a factory that makes ``stand_in`` on the CPU and ``real`` elsewhere."""

    def factory(*args: Any, **kwargs: Any) -> Any:
        return (stand_in if _stands_in() else real)(*args, **kwargs)

    return factory
