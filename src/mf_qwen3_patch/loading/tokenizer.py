"""Qwen3's tokenizer, as HuggingFace transformers makes it.

MindFormers has no class for it: its own ``build_tokenizer(use_legacy=False)``, which run_mindformer.py calls, returns
transformers' tokenizer, too, so that scripts and launcher speak the same tokens.
"""

from __future__ import annotations

import os
from typing import Any

from mf_qwen3_patch.checkpoint.files.tokenizer_files import (
    TOKENIZER_CLASS,
    TOKENIZER_CONFIG_NAME,
    TOKENIZER_NAME,
    damage,
    read_tokenizer_config,
)
from mf_qwen3_patch.checkpoint.location.resolve import LOCATION_KEYWORDS, Location
from mf_qwen3_patch.errors import CorruptCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.loading.runtime.log import warn

_BACKEND = "TokenizersBackend"
"""transformers 5's name of a tokenizer that is all in tokenizer.json: 4's PreTrainedTokenizerFast."""


def load_tokenizer(
    name: str | os.PathLike[str] | Location, *inputs: Any, trust_remote_code: bool | None = None, **keywords: Any
) -> Any:
    """Make transformers' tokenizer of a HuggingFace Qwen3 directory, chat template included; weights are not needed.

    Where the directory or hub ID is, is said as to ``load_pretrained``; the other keywords (``use_fast``,
    ``padding_side``, ...) and ``inputs`` are for ``AutoTokenizer.from_pretrained``. Nothing of a directory is looked up
    in a hub, and no code of it is run, whatever ``trust_remote_code`` says. Raises a CheckpointError if files are
    missing or damaged, or if the installed transformers has no such tokenizer.
    """
    directory = Location.of(name, keywords).find_tokenizer()
    config = read_tokenizer_config(directory)
    root = str(directory.path)
    transformers = _transformers(config, root)
    if config.get("auto_map"):
        warn([f"{TOKENIZER_CONFIG_NAME} has an auto_map; its custom code is not run"])
    given = {key: value for key, value in keywords.items() if key not in LOCATION_KEYWORDS}
    settings = {**_in_older_words(config), **given, "local_files_only": True, "trust_remote_code": False}
    generic = config.get("tokenizer_class") == _BACKEND and not hasattr(transformers, _BACKEND)
    chosen = transformers.PreTrainedTokenizerFast if generic else transformers.AutoTokenizer
    try:
        return chosen.from_pretrained(root, *inputs, **settings)
    except Exception as error:
        # transformers does not say which file it could not read.
        problems = damage(root)
        if not problems and type(error) is Exception:  # of the tokenizers library, which has no class of its own
            advice = "download the tokenizer's files again"
            problems = (
                Problem(CorruptCheckpoint, f"the tokenizer can't be read: {error}", TOKENIZER_NAME, advice=advice),
            )
        if problems:
            raise error_for(problems, str(directory)) from error
        raise


def _transformers(config: dict[str, Any], directory: str) -> Any:
    """Import transformers and see that it has the class that the tokenizer is of."""
    try:
        import transformers
    except ImportError as error:
        needs = "Qwen3's tokenizer needs HuggingFace transformers, which comes with MindFormers"
        raise ImportError(f"{needs}: pip install transformers") from error
    name = config.get("tokenizer_class") or TOKENIZER_CLASS
    if name == _BACKEND or any(hasattr(transformers, str(known)) for known in (name, f"{name}Fast")):
        return transformers
    summary = f"transformers {transformers.__version__} has no {name}, which {TOKENIZER_CONFIG_NAME} asks for"
    where = {"file": TOKENIZER_CONFIG_NAME, "field": "tokenizer_class", "expected": TOKENIZER_CLASS}
    original = f"if the tokenizer is the original one of Qwen3, its class is {TOKENIZER_CLASS}"
    advice = f"install the transformers release that this MindFormers requires; {original}"
    raise error_for([Problem(UnsupportedCheckpoint, summary, **where, found=name, advice=advice)], directory)


def _in_older_words(config: dict[str, Any]) -> dict[str, Any]:
    """Rename transformers 5's list of special tokens: in 4, which MindFormers requires, a map has that name."""
    extra = config.get("extra_special_tokens")
    return {"additional_special_tokens": extra, "extra_special_tokens": {}} if isinstance(extra, list) else {}
