"""Is the MindFormers that is installed one that the patches were made for?

Asked before any of them is imported, and answered by what is there, not by version numbers: a patched
release says the same of itself tomorrow, whatever it will be called.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec

__all__ = ["unsupported"]

_PACKAGE = "mindformers.models.qwen3"


@cache
def unsupported() -> str | None:
    """Return why no patch can be applied to this MindFormers, None if they can.

    mindformers is imported already; it stays as it is.
    """
    for module, what in (
        ("modeling_qwen3_infer", "an inference class for Qwen3 (MindFormers before 1.6 has none)"),
        ("modeling_qwen3_train", "a training class for Qwen3, whose conversion is needed (1.6 and before have none)"),
    ):
        if not _exists(f"{_PACKAGE}.{module}"):
            return f"this MindFormers has not {what}; nothing was patched, use 1.7.0, 1.8.0 or 1.9.0"
    if sign := _second_generation():
        return (
            f"this MindFormers loads HuggingFace weights in another way ({sign}, as in the 2.x sources), which the "
            "patches were not made for; nothing was patched, use 1.7.0, 1.8.0 or 1.9.0"
        )
    return None


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package
        return False


def _second_generation() -> str:
    """Return what of the 2.x way to load weights is there; an empty string if nothing."""
    base = importlib.import_module(f"{_PACKAGE}.utils").Qwen3PreTrainedModel
    if hasattr(base, "weight_converters"):
        return f"{base.__qualname__}.weight_converters"
    entry = importlib.import_module(f"{_PACKAGE}.modeling_qwen3")
    return next((name for name in vars(entry) if name.startswith("PyNative")), "")
