"""``build_tokenizer``, with which the launcher makes the tokenizer of a HuggingFace directory."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.tokenizer_files import is_qwen3_tokenizer_directory
from mf_qwen3_patch.checkpoint.location.resolve import leads_to_qwen3
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, resolve

_MODULE = "mindformers.models.build_tokenizer"


def build_tokenizer(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Make Qwen3's tokenizer as ``AutoTokenizer.from_pretrained`` does; leave others to stock."""
    given = inspect.signature(stock).bind(*args, **kwargs).arguments
    if not given.get("use_legacy", True):
        from mindformers.core.context.build_context import get_context

        directory = given.get("kwargs", {}).get("pretrained_model_dir") or get_context("pretrained_model_dir")
        if leads_to_qwen3(directory, is_qwen3_tokenizer_directory):
            from mf_qwen3_patch.loading.tokenizer import load_tokenizer

            return load_tokenizer(directory)
    return stock(*args, **kwargs)


def _builds_in_another_way() -> str | None:
    stock = getattr(resolve(_MODULE), "build_tokenizer", None)
    if stock is None or not {"use_legacy", "kwargs"} <= inspect.signature(stock).parameters.keys():
        return "this MindFormers' launcher builds tokenizers in another way"
    return None


BUILD_TOKENIZER = MethodPatches(
    MethodPatch(_MODULE, "build_tokenizer", around(build_tokenizer), everywhere=True), supports=_builds_in_another_way
)
