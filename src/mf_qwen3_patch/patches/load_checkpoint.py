"""``mindspore.load_checkpoint(format="safetensors")`` returns named Parameters, never numpy arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.safetensors_header import read_header
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, resolve

_MODULE = "mindspore.train.serialization"
_FORMAT_ARGUMENT = "format"


def load_checkpoint(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Name what stock reads; refuse a damaged file by name: stock's errors say neither which file nor what to do."""
    from mf_qwen3_patch.loading.runtime.parameters import named_parameters

    try:
        arguments = inspect.signature(stock).bind(*args, **kwargs).arguments
    except TypeError:
        arguments = {}  # stock raises the error
    if arguments.get(_FORMAT_ARGUMENT) != "safetensors":
        return stock(*args, **kwargs)
    path = arguments.get("ckpt_file_name")
    if isinstance(path, str) and Path(path).exists():
        read_header(Path(path))
    return named_parameters(stock(*args, **kwargs))


def _no_safetensors() -> str | None:
    if _FORMAT_ARGUMENT not in inspect.signature(resolve(_MODULE).load_checkpoint).parameters:
        return "this MindSpore's load_checkpoint has no format= argument and reads no safetensors"
    return None


LOAD_CHECKPOINT = MethodPatches(
    MethodPatch(_MODULE, "load_checkpoint", around(load_checkpoint), everywhere=True), supports=_no_safetensors
)
