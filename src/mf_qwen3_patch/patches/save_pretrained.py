"""``save_pretrained`` of an inference model writes a HuggingFace directory, which ``from_pretrained`` reads back.

What stock writes, a ``.ckpt`` and a YAML, its own ``from_pretrained`` does not take for these models. It is still
written when it is asked for: with ``save_name``, ``save_json``, ``state_dict`` or ``auto_convert=False``.
"""

from __future__ import annotations

import functools
from typing import Any

from mindformers.models.modeling_utils import PreTrainedModel

from mf_qwen3_patch.checkpoint.writing.sizes import parse_size
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading.save_pretrained import save_pretrained
from mf_qwen3_patch.patches._families import first_reason, inference_classes
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_changes = AttributeChanges()

_STOCKS = ("save_name", "save_json", "state_dict")
_NOT_HERE = {"push_to_hub": False, "safe_serialization": True, "variant": None}


def _method(family: Family) -> Any:
    stock = PreTrainedModel.save_pretrained

    @functools.wraps(stock)
    def method(self: Any, save_directory: Any, *args: Any, auto_convert: bool = True, **kwargs: Any) -> None:
        if args or not auto_convert or any(kwargs.get(name) for name in _STOCKS):
            stock(self, save_directory, *args, **kwargs)
            return
        rest = {name: value for name, value in kwargs.items() if name not in (*_STOCKS, "token")}
        is_main_process, size = rest.pop("is_main_process", True), rest.pop("max_shard_size", "5GB")
        for name, value in rest.items():
            if name not in _NOT_HERE:
                raise TypeError(f"save_pretrained() got an unexpected keyword argument {name!r}")
            if value != _NOT_HERE[name]:
                raise ValueError(f"{name}={value!r} can't be done here: plain safetensors are written to a directory")
        if is_main_process:
            save_pretrained(self, save_directory, family, max_shard_bytes=parse_size(size))

    return method


def supports() -> str | None:
    """Step aside if an inference class saves itself in a way of its own."""
    return first_reason(_defined_upstream)


def _defined_upstream(family: Family) -> str | None:
    cls = family.load(family.inference_class)
    if defining_class(cls, "save_pretrained") is not PreTrainedModel:
        return f"{cls.__name__}.save_pretrained is no longer PreTrainedModel's"
    return None


def apply() -> None:
    """Define the method on the inference classes."""
    for family, cls in inference_classes():
        _changes.set(cls, "save_pretrained", _method(family))


def revert() -> None:
    """Delete it again."""
    _changes.restore()
