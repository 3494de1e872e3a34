"""``save_pretrained`` of an inference model writes a HuggingFace directory, which ``from_pretrained`` reads back.

What stock writes, a ``.ckpt`` and a YAML, its own ``from_pretrained`` does not take for these models. It is still
written when it is asked for: with ``save_name``, ``save_json``, ``state_dict`` or ``auto_convert=False``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.patches._patcher import MethodPatches, around, inference_method

_BASE = "mindformers.models.modeling_utils:PreTrainedModel"
_STOCKS = ("save_name", "save_json", "state_dict")
_NOT_HERE = {"push_to_hub": False, "safe_serialization": True, "variant": None}


def save_pretrained(
    stock: Callable[..., Any], self: Any, save_directory: Any, *args: Any, auto_convert: bool = True, **kwargs: Any
) -> None:
    """Write a HuggingFace directory, or what stock writes."""
    from mf_qwen3_patch.checkpoint.writing.safetensors_writer import parse_size
    from mf_qwen3_patch.loading import save_pretrained as ours
    from mf_qwen3_patch.loading.runtime.network import family_of

    if args or not auto_convert or any(kwargs.get(name) for name in _STOCKS):
        stock(self, save_directory, *args, **kwargs)
        return
    rest = {name: value for name, value in kwargs.items() if name not in (*_STOCKS, "token")}
    is_main_process, size = rest.pop("is_main_process", True), rest.pop("max_shard_size", "5GB")
    for name, value in rest.items():
        if name not in _NOT_HERE:
            raise TypeError(f"save_pretrained() got an unexpected keyword argument {name!r}")
        if value != _NOT_HERE[name]:
            raise ValueError(
                f"{name}={short_repr(value)} can't be done here: plain safetensors are written to a directory"
            )
    if is_main_process:
        ours.save_pretrained(self, save_directory, family_of(self), max_shard_bytes=parse_size(size))


SAVE_PRETRAINED = MethodPatches(*inference_method("save_pretrained", around(save_pretrained), _BASE))
