"""``mindspore.load_checkpoint(format="safetensors")`` returns what stock returns, named by the keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.safetensors_header import read_header
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, resolve
from mf_qwen3_patch.settings import is_training_run

_MODULE = "mindspore.train.serialization"


def load_checkpoint(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Name what stock reads, unless this process trains; refuse a damaged file by name, which stock's errors don't."""
    from mf_qwen3_patch.loading.runtime.parameters import named_parameters

    try:
        arguments = inspect.signature(stock).bind(*args, **kwargs).arguments
    except TypeError:
        arguments = {}  # stock raises the error
    if arguments.get("format") != "safetensors" or is_training_run():
        return stock(*args, **kwargs)
    path = arguments.get("ckpt_file_name")
    # Stock says what is wrong with any other file.
    if isinstance(path, str) and path.endswith(".safetensors") and Path(path).exists():
        read_header(Path(path))
    return named_parameters(stock(*args, **kwargs))


def _no_safetensors() -> str | None:
    if "format" not in inspect.signature(resolve(_MODULE).load_checkpoint).parameters:
        return "this MindSpore's load_checkpoint has no format= argument and reads no safetensors"
    return None


LOAD_CHECKPOINT = MethodPatches(
    MethodPatch(_MODULE, "load_checkpoint", around(load_checkpoint), everywhere=True), supports=_no_safetensors
)
