"""The note of what a directory was made from, which lies in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.reading.strict_json import json_bytes

MANIFEST_NAME = "mf_qwen3_patch.manifest.json"
"""The name of the note."""


def source_identity(checkpoint: Checkpoint, config: Path | None = None) -> dict[str, Any]:
    """Return what tells the files of a checkpoint from those of another: names, sizes, times and headers.

    ``config`` is its config.json, if that is elsewhere.
    """
    config = config or checkpoint.directory / CONFIG_NAME
    identity = {}
    if config.exists():
        content = config.read_bytes()
        identity[config.name] = _identity(len(content), config.stat().st_mtime_ns, content)
    for path, header in checkpoint.headers.items():
        file = checkpoint.file(path)
        identity[path.name] = _identity(file.size, file.modified_ns, file.read(0, header.nbytes))
    return identity


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """Return the note of a directory; None if it has none that can be read."""
    try:
        value = json.loads((directory / MANIFEST_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def difference(found: Mapping[str, Any], made_from: Mapping[str, Any]) -> str | None:
    """Return the first thing that two notes differ in, with both values; None if nothing is."""
    expected = json.loads(json_bytes(made_from))
    keys = (key for key in dict.fromkeys([*expected, *found]) if found.get(key) != expected.get(key))
    return next((f"{key}: {_difference(found.get(key), expected.get(key))}" for key in keys), None)


def _identity(size: int, modified_ns: int, header: bytes) -> dict[str, Any]:
    return {"bytes": size, "modified_ns": modified_ns, "header_sha256": hashlib.sha256(header).hexdigest()}


def _difference(found: Any, expected: Any) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        names = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
        return f"{names[0]} differs"
    return f"{short_json(found)} there, {short_json(expected)} now"
