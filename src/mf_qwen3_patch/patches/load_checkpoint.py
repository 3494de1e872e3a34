"""``mindspore.load_checkpoint(format="safetensors")`` returns named Parameters, never numpy arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from mindspore.train import serialization

from mf_qwen3_patch.loading.parameters import named_parameters
from mf_qwen3_patch.patches._rebinding import rebind

_FORMAT_ARGUMENT = "format"
_original: Callable[..., Any] | None = None


def _wrapping(stock: Callable[..., Any]) -> Callable[..., Any]:
    # A plain function, not a wrapper object: it pickles by name like the original.
    signature = inspect.signature(stock)

    @functools.wraps(stock)
    def load_checkpoint(*args: Any, **kwargs: Any) -> Any:
        loaded = stock(*args, **kwargs)
        if signature.bind(*args, **kwargs).arguments.get(_FORMAT_ARGUMENT) == "safetensors":
            return named_parameters(loaded)
        return loaded

    return load_checkpoint


def supports() -> str | None:
    """Step aside if the function cannot read safetensors at all."""
    if _FORMAT_ARGUMENT not in inspect.signature(serialization.load_checkpoint).parameters:
        return "this MindSpore's load_checkpoint has no format= argument and reads no safetensors"
    return None


def apply() -> None:
    """Replace the function wherever MindSpore, MindFormers and ``__main__`` bind it."""
    global _original
    _original = serialization.load_checkpoint
    rebind(_original, _wrapping(_original))


def revert() -> None:
    """Put the original back wherever the replacement is."""
    global _original
    rebind(serialization.load_checkpoint, _original)
    _original = None
