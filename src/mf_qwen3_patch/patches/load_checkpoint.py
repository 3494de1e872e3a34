"""``mindspore.load_checkpoint(format="safetensors")`` returns named Parameters, never numpy arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mindspore.train import serialization

from mf_qwen3_patch.checkpoint.files.safetensors_header import read_header
from mf_qwen3_patch.loading.runtime.parameters import named_parameters
from mf_qwen3_patch.patches._rebinding import rebind

_FORMAT_ARGUMENT = "format"
_original: Callable[..., Any] | None = None


def _wrapping(stock: Callable[..., Any]) -> Callable[..., Any]:
    # A plain function, not a wrapper object: it pickles by name like the original.
    signature = inspect.signature(stock)

    @functools.wraps(stock)
    def load_checkpoint(*args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError:
            arguments = {}  # stock raises the error
        if arguments.get(_FORMAT_ARGUMENT) != "safetensors":
            return stock(*args, **kwargs)
        _check(arguments.get("ckpt_file_name"))
        return named_parameters(stock(*args, **kwargs))

    return load_checkpoint


def _check(path: Any) -> None:
    """Refuse a damaged file by name; stock's errors say neither which file nor what to do."""
    if isinstance(path, str) and Path(path).exists():
        read_header(Path(path))


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
