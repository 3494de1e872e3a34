"""``mindspore.load_checkpoint(format="safetensors")`` returns named Parameters, never numpy arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import wrapt
from mindspore.train import serialization

from mf_qwen3_patch.loading.parameters import named_parameters
from mf_qwen3_patch.patches._rebinding import rebind

_SIGNATURE_ARGUMENT = "format"
_original: Callable[..., Any] | None = None


def _load_checkpoint(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    loaded = wrapped(*args, **kwargs)
    try:
        arguments = inspect.signature(wrapped).bind(*args, **kwargs).arguments
    except TypeError:
        return loaded
    if arguments.get(_SIGNATURE_ARGUMENT) != "safetensors":
        return loaded
    return named_parameters(loaded)


def supports() -> str | None:
    """Step aside if the function cannot read safetensors at all."""
    if _SIGNATURE_ARGUMENT not in inspect.signature(serialization.load_checkpoint).parameters:
        return "this MindSpore's load_checkpoint has no format= argument and reads no safetensors"
    return None


def apply() -> None:
    """Wrap the function, everywhere MindSpore and MindFormers bind it."""
    global _original
    _original = serialization.load_checkpoint
    rebind(_original, wrapt.FunctionWrapper(_original, _load_checkpoint))


def revert() -> None:
    """Put the original back wherever the wrapper is."""
    global _original
    rebind(serialization.load_checkpoint, _original)
    _original = None
