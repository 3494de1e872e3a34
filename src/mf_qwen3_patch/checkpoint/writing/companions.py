"""The files that go with the weights when a checkpoint is converted: config, generation settings, tokenizer."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.files.read_file import read_bounded
from mf_qwen3_patch.checkpoint.files.strict_json import json_bytes
from mf_qwen3_patch.errors import CheckpointError

_NAMES = frozenset(
    {
        "added_tokens.json",
        "chat_template.json",
        "chat_template.jinja",
        "generation_config.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
    }
)


def companion_files(directory: Path, listing: Collection[str]) -> dict[str, bytes]:
    """Read the generation settings and the tokenizer of a checkpoint; names to contents.

    Args:
        directory: The checkpoint; links are followed, as hub caches consist of them.
        listing: The names in it.

    Raises:
        CheckpointError: One of them can't be read.
    """
    return {name: read_bounded(directory / name, name) for name in sorted(_NAMES & set(listing))}


def with_dtype(config: bytes, dtype: str) -> bytes:
    """Return config.json with another dtype of the weights; the very same bytes if it says so already.

    Args:
        config: The file's content, sound.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
    """
    values: dict[str, Any] = json.loads(config)
    keys = [key for key in ("torch_dtype", "dtype") if key in values] or ["torch_dtype"]
    if all(values.get(key) == dtype for key in keys):
        return config
    values |= dict.fromkeys(keys, dtype)
    return json_bytes(values)


def config_bytes(source: Directory) -> bytes:
    """Return config.json as it is.

    Raises:
        CheckpointError: It is not there, or can't be read.
    """
    content = source.config_bytes
    if isinstance(content, CheckpointError):
        raise content
    return content
