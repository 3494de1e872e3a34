"""Qwen3's tokenizer, as HuggingFace transformers makes it.

MindFormers' own road for Qwen3 (``build_tokenizer(use_legacy=False)``, which run_mindformer.py takes) hands out
transformers' tokenizer, not a subclass of MindFormers' ``PreTrainedTokenizer``: MindFormers has no class for
Qwen3's. What is returned here is that same object, so that scripts and launcher speak the same tokens.
"""

from __future__ import annotations

import os
from typing import Any

from mf_qwen3_patch.checkpoint.files.resolve import LOCATION_KEYWORDS, Location
from mf_qwen3_patch.checkpoint.files.tokenizer_files import (
    TOKENIZER_CLASS,
    TOKENIZER_CONFIG_NAME,
    damage,
    read_tokenizer_config,
)
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.loading.runtime.log import warn


def load_tokenizer(
    name: str | os.PathLike[str] | Location, *inputs: Any, trust_remote_code: bool | None = None, **keywords: Any
) -> Any:
    """Make the tokenizer of a HuggingFace Qwen3 directory, chat template included; weights are not needed.

    ``name`` is a directory with tokenizer_config.json and tokenizer.json, or vocab.json and merges.txt; nothing of it
    is looked up in a hub. Or it is a hub ID, found or downloaded as ``load_pretrained`` does it. ``subfolder``,
    ``revision``, ``cache_dir``, ``local_files_only``, ``force_download`` and ``token`` say where it is; the other
    keywords (``use_fast``, ``padding_side``, ...) and ``inputs`` are for transformers'
    ``AutoTokenizer.from_pretrained``. No code of the directory is run, whatever ``trust_remote_code`` says.

    Returns transformers' ``Qwen2TokenizerFast`` (``Qwen2Tokenizer`` with ``use_fast=False``).

    Raises:
        IncompleteCheckpoint: Files are not there.
        CorruptCheckpoint: A file is damaged.
        UnsupportedCheckpoint: The installed transformers has no such tokenizer.
        ImportError: transformers is missing (it comes with MindFormers).
    """
    directory = Location.of(name, keywords).find_tokenizer()
    config = read_tokenizer_config(directory)
    root = str(directory.path)
    transformers = _transformers(config, root)
    if config.get("auto_map"):
        warn([f"{TOKENIZER_CONFIG_NAME} has an auto_map; its custom code is not run"])
    given = {key: value for key, value in keywords.items() if key not in LOCATION_KEYWORDS}
    settings = {**_in_older_words(config), **given, "local_files_only": True, "trust_remote_code": False}
    try:
        return transformers.AutoTokenizer.from_pretrained(root, *inputs, **settings)
    except Exception as error:
        # transformers does not say which file it could not read.
        if problems := damage(root):
            raise error_for(problems, str(directory)) from error
        raise


def _transformers(config: dict[str, Any], directory: str) -> Any:
    """Import transformers and see that it has the class that the tokenizer is of."""
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "Qwen3's tokenizer needs HuggingFace transformers, which comes with MindFormers: pip install transformers"
        ) from error
    name = config.get("tokenizer_class") or TOKENIZER_CLASS
    if not any(hasattr(transformers, str(known)) for known in (name, f"{name}Fast")):
        summary = f"transformers {transformers.__version__} has no {name}, which {TOKENIZER_CONFIG_NAME} asks for"
        where = {"file": TOKENIZER_CONFIG_NAME, "field": "tokenizer_class", "expected": TOKENIZER_CLASS}
        advice = (
            "install the transformers release that this MindFormers requires; if the tokenizer is the original one of "
            f"Qwen3, its class is {TOKENIZER_CLASS}"
        )
        raise error_for([Problem(UnsupportedCheckpoint, summary, **where, found=name, advice=advice)], directory)
    return transformers


def _in_older_words(config: dict[str, Any]) -> dict[str, Any]:
    """Say what transformers 5 wrote so that transformers 4, which MindFormers requires, reads it, too.

    The list of additional special tokens is called ``extra_special_tokens`` there; before, that was a map.
    """
    extra = config.get("extra_special_tokens")
    if not isinstance(extra, list):
        return {}
    return {"additional_special_tokens": extra, "extra_special_tokens": {}}
