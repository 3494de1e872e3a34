"""What goes with the weights into a new directory: the tokenizer, the settings of generation, and config.json."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.tokenizer_files import TOKENIZER_NAMES
from mf_qwen3_patch.checkpoint.quantization.dequantize import QUANTIZATION_KEY
from mf_qwen3_patch.checkpoint.reading.read_file import read_bounded
from mf_qwen3_patch.checkpoint.reading.strict_json import json_bytes

_COMPANIONS = frozenset(
    {*TOKENIZER_NAMES, "chat_template.json", "chat_template.jinja", "generation_config.json", "tokenizer.model"}
)


def companion_files(directory: Path, listing: Collection[str]) -> dict[str, bytes]:
    """Read the generation settings and the tokenizer of a checkpoint, those in ``listing``; names to contents."""
    return {name: read_bounded(directory / name, name) for name in sorted(_COMPANIONS & set(listing))}


def with_dtype(config: bytes, dtype: str) -> bytes:
    """Return config.json with another dtype of the weights; the very same bytes if it says so already."""
    values: dict[str, Any] = json.loads(config)
    keys = [key for key in ("torch_dtype", "dtype") if key in values] or ["torch_dtype"]
    if all(values.get(key) == dtype for key in keys):
        return config
    return json_bytes(values | dict.fromkeys(keys, dtype))


def without_quantization(config: bytes) -> bytes:
    """Return config.json of the same model whose weights are not quantized any more."""
    values: dict[str, Any] = json.loads(config)
    return json_bytes({name: value for name, value in values.items() if name != QUANTIZATION_KEY})
