"""``AutoTokenizer.from_pretrained`` on a HuggingFace Qwen3 directory, with or without weights."""

from __future__ import annotations

from mindformers.models.auto.tokenization_auto import AutoTokenizer, tokenizer_class_from_name

from mf_qwen3_patch.checkpoint.files.tokenizer_files import TOKENIZER_CLASS, is_qwen3_tokenizer_directory
from mf_qwen3_patch.loading.tokenizer import load_tokenizer
from mf_qwen3_patch.patches._dispatch import guarded_classmethod
from mf_qwen3_patch.patches._patcher import AttributeChanges

_changes = AttributeChanges()


def supports() -> str | None:
    """Step aside if MindFormers finds the tokenizer's class itself."""
    for name in (f"{TOKENIZER_CLASS}Fast", TOKENIZER_CLASS):
        if tokenizer_class_from_name(name) is not None:
            return f"MindFormers' AutoTokenizer knows {name} itself"
    return None


def apply() -> None:
    """Define the method on AutoTokenizer."""
    stock = AutoTokenizer.from_pretrained.__func__
    ours = guarded_classmethod(stock, load_tokenizer, answers_for=is_qwen3_tokenizer_directory)
    _changes.set(AutoTokenizer, "from_pretrained", ours)


def revert() -> None:
    """Restore it."""
    _changes.restore()
