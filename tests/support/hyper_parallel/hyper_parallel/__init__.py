"""A placeholder for Huawei's hyper_parallel, so that MindFormers 2 can be imported where that is not to be had.

MindFormers 2 names it at the top of its pynative trainers and models; nothing of it runs in inference. Every module below
this one exists and holds an empty class for each name that is asked of it. A function that uses one of them gets an error:
the tests that pass with the placeholder show that nothing of hyper_parallel runs in them.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import inspect
import sys
from types import ModuleType
from typing import Any


class _Placeholder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module below ``hyper_parallel`` and fills it with empty classes."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module below ``hyper_parallel``, None for any other."""
        if not name.startswith(f"{__name__}."):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Let the module make each name when it is asked for."""
        module.__getattr__ = lambda name: _empty_class(module, name)  # type: ignore[method-assign]


def _empty_class(module: ModuleType, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    value = type(name, (), {"__module__": module.__name__, "__init__": _refuse_in_functions})
    setattr(module, name, value)
    return value


def _refuse_in_functions(self: object, *args: object, **kwargs: object) -> None:
    # What a module or a class body does while it is imported is let through. Only functions have optimized code.
    if sys._getframe(1).f_code.co_flags & inspect.CO_OPTIMIZED:
        raise RuntimeError(f"{type(self).__qualname__} is needed, and hyper_parallel is only a placeholder here")


def __getattr__(name: str) -> Any:
    return _empty_class(sys.modules[__name__], name)


sys.meta_path.append(_Placeholder())
