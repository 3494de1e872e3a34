"""The releases that the shim was tested with, and what upstream provides itself."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from mf_qwen3_patch.activation.registry import PATCHES

# What the test suite ran on, as whole stacks: versions of a stack that fit together.
TESTED_STACKS: tuple[Mapping[str, str], ...] = (
    {"mindformers": "1.7.0", "mindspore": "2.7.1"},
    {"mindformers": "1.8.0", "mindspore": "2.7.2"},
    {"mindformers": "1.9.0", "mindspore": "2.9.0"},
)


def installed_versions() -> dict[str, str | None]:
    """Return the version of each package that matters, None for one that is not installed."""
    names = ("mindformers", "mindspore", "numpy", "safetensors", "transformers", "wrapt")
    versions: dict[str, str | None] = dict.fromkeys(names)
    for name in names:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def is_tested(versions: Mapping[str, str | None]) -> bool:
    """Return whether these versions of MindFormers and MindSpore were tested together."""
    return any(stack.items() <= versions.items() for stack in TESTED_STACKS)


def provided_upstream() -> dict[str, str]:
    """Return the patches that would step aside here: name to the reason, found by capability, not by version number.

    Must be called while the patches are not applied, or the shim would be taken for upstream.
    Imports mindspore and mindformers.
    """
    provided = {}
    for patch in PATCHES:
        importlib.import_module(patch.target)
        reason = patch.step_aside_reason()
        if reason is not None:
            provided[patch.name] = reason
    return provided
