"""The versions of the packages that matter."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version


def installed_versions() -> dict[str, str | None]:
    """Return the version of each package that matters, None for one that is not installed."""
    names = ("mindformers", "mindspore", "numpy", "safetensors", "transformers", "wrapt")
    versions: dict[str, str | None] = dict.fromkeys(names)
    for name in names:
        # What is imported says it at once; of what is only installed the metadata are read, its README included.
        imported = getattr(sys.modules.get(name), "__version__", None)
        with suppress(PackageNotFoundError):
            versions[name] = imported or version(name)
    return versions
