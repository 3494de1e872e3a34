"""The versions of the packages that matter."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version


def installed_versions() -> dict[str, str | None]:
    """Return the version of each package that matters, None for one that is not installed."""
    names = ("mindformers", "mindspore", "numpy", "safetensors", "transformers", "wrapt")
    versions: dict[str, str | None] = dict.fromkeys(names)
    for name in names:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
