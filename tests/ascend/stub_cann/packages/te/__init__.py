"""Stands in for CANN's Python packages: every name in them is there, and does nothing."""

import importlib.abc
import importlib.machinery
import sys
from unittest.mock import MagicMock

_PACKAGES = ("te", "tbe", "topi", "tvm", "impl")
_anything = MagicMock()


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every submodule of the packages."""

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in _PACKAGES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__name__, module.__path__, module.__spec__, module.__all__ = spec.name, [], spec, []
        return module

    def exec_module(self, module):
        pass


sys.meta_path.append(_Finder())


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_anything, name)


from te import version  # noqa: E402, F401 - written by build.py, found on the path before the finder is asked
