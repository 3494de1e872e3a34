"""``AutoTokenizer.from_pretrained`` on a HuggingFace Qwen3 directory, with or without weights."""

from __future__ import annotations

from typing import Any

from mf_qwen3_patch.checkpoint.files.tokenizer_files import TOKENIZER_CLASS, is_qwen3_tokenizer_directory
from mf_qwen3_patch.patches._dispatch import guarded_classmethod
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, resolve

_MODULE = "mindformers.models.auto.tokenization_auto"


def _load_tokenizer(*args: Any, **kwargs: Any) -> Any:
    from mf_qwen3_patch.loading.tokenizer import load_tokenizer

    return load_tokenizer(*args, **kwargs)


def _known_upstream() -> str | None:
    class_of = resolve(_MODULE).tokenizer_class_from_name
    known = [name for name in (f"{TOKENIZER_CLASS}Fast", TOKENIZER_CLASS) if class_of(name) is not None]
    return f"MindFormers' AutoTokenizer knows {known[0]} itself" if known else None


def _from_pretrained(stock: Any) -> Any:
    return guarded_classmethod(stock.__func__, _load_tokenizer, answers_for=is_qwen3_tokenizer_directory)


PATCH = MethodPatches(
    MethodPatch(f"{_MODULE}:AutoTokenizer", "from_pretrained", _from_pretrained), supports=_known_upstream
)
