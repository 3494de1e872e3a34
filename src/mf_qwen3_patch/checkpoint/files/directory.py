"""A HuggingFace checkpoint directory: config.json, index and shards, seen as one thing."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.index import compare_with_headers
from mf_qwen3_patch.checkpoint.files.read_file import MAX_JSON_BYTES, read_bounded
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo, inspect_header
from mf_qwen3_patch.checkpoint.files.shards import (
    ADAPTER_CONFIG_NAME,
    Findings,
    choose_files,
    merge_headers,
    read_headers,
)
from mf_qwen3_patch.checkpoint.files.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError, CorruptCheckpoint, IncompleteCheckpoint, Problem
from mf_qwen3_patch.families.config_schema import find_schema

CONFIG_NAME = "config.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a directory holds, sound or not.

    Attributes:
        directory: The directory.
        config: config.json as it is; empty if it can't be read.
        tensors: All tensors of all files that could be read, by HuggingFace name.
        files: The weight files that are used, in order.
        problems: What is wrong with the files, most important first.
        warnings: What does not stop a load.
        listing: The names of all entries of the directory.
        config_read: Whether config.json could be read.
        lost: Tensors known by the index alone, as their file is missing or damaged.
        lost_unknown: A file is missing or damaged and no index says what it held.
    """

    directory: Path
    config: dict[str, Any]
    tensors: Mapping[str, TensorInfo]
    files: tuple[Path, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    listing: frozenset[str] = frozenset()
    config_read: bool = True
    lost: frozenset[str] = frozenset()
    lost_unknown: bool = False


def is_qwen3_directory(path: object) -> bool:
    """Say whether ``path`` is a HuggingFace directory whose config.json says Qwen3; cheap, never raises.

    A config that is damaged in detail still counts, so that the clear error about it can follow. A
    directory that MindFormers saved itself, with a ``.ckpt`` instead of safetensors, does not.
    """
    root = _as_directory(path)
    if root is None:
        return False
    try:
        with (root / CONFIG_NAME).open("rb") as stream:
            raw = json.loads(stream.read(MAX_JSON_BYTES))
        names = {entry.name for entry in root.iterdir()}
    except (OSError, ValueError, TypeError, RecursionError):
        return False
    if not isinstance(raw, dict) or _saved_by_mindformers(names):
        return False
    return find_schema(raw) is not None


def is_huggingface_directory(path: object) -> bool:
    """Say whether ``path`` is a directory of HuggingFace's making, of any model; never raises.

    It is if it has a config.json or an adapter_config.json, or weights under HuggingFace's names. A
    directory of MindFormers' own checkpoints has none of these.
    """
    root = _as_directory(path)
    if root is None:
        return False
    try:
        listing = list_entries(root)
    except CheckpointError:
        return False
    if _saved_by_mindformers(listing):
        return False
    if listing & {CONFIG_NAME, ADAPTER_CONFIG_NAME}:
        return True
    return any(
        name.startswith("model.layers.")
        for file in sorted(listing)
        if file.endswith(".safetensors")
        for name in inspect_header(root / file).tensors
    )


def _saved_by_mindformers(names: Collection[str]) -> bool:
    suffixes = {Path(name).suffix for name in names}
    return ".ckpt" in suffixes and ".safetensors" not in suffixes


def _as_directory(path: object) -> Path | None:
    if not isinstance(path, (str, os.PathLike)):
        return None
    try:
        root = Path(os.fsdecode(path))
        return root if root.is_dir() else None
    except (OSError, ValueError, TypeError):
        return None


def read_config(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Read config.json as it is.

    Raises:
        IncompleteCheckpoint: It is not there.
        CorruptCheckpoint: It can't be read, or is not one sound JSON object.
    """
    path = Path(directory) / CONFIG_NAME
    advice = f"download {CONFIG_NAME} again"
    return parse_object(read_bounded(path, CONFIG_NAME), file=CONFIG_NAME, what=CONFIG_NAME, advice=advice)


def open_checkpoint(
    directory: str | os.PathLike[str],
    *,
    absent_config: Mapping[str, Any] | None = None,
    variant: str | None = None,
) -> Checkpoint:
    """Read config.json, the index and all headers of ``directory``.

    What is wrong with them is collected in ``problems``.

    Args:
        directory: With the weights.
        absent_config: What stands in for config.json where the directory has none; without it that is a problem.
        variant: Of the weights: ``fp16`` for ``model.fp16.safetensors``.

    Raises:
        IncompleteCheckpoint: The directory itself is not there, or is not a directory.
        CorruptCheckpoint: The directory can't be listed.
    """
    root = Path(directory)
    listing = list_entries(root)
    found = Findings()
    config = _config_or_problem(root, listing, found, absent_config)
    names, index = choose_files(root, listing, found, variant=variant)
    headers = read_headers(root, names, index, found)
    if index.shards:
        problems, warnings, absent = compare_with_headers(index, headers)
        found.problems += problems
        found.warnings += warnings
        found.lost |= absent
    tensors = merge_headers(headers, found)
    return Checkpoint(
        directory=root,
        config=config or {},
        config_read=config is not None,
        tensors=tensors,
        files=tuple(root / name for name in headers),
        problems=tuple(found.problems),
        warnings=tuple(found.warnings),
        listing=listing,
        lost=frozenset(found.lost - tensors.keys()),
        lost_unknown=found.lost_unknown,
    )


def list_entries(root: Path) -> frozenset[str]:
    """Return the names of all entries of the checkpoint directory ``root``.

    Raises:
        IncompleteCheckpoint: It is not there, or is not a directory.
        CorruptCheckpoint: It can't be read.
    """
    try:
        return frozenset(entry.name for entry in root.iterdir())
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else "is a file, not a directory"
        problem = Problem(
            IncompleteCheckpoint,
            f"the checkpoint directory {root} {what}",
            expected="a directory with config.json and .safetensors files",
            advice="check the path",
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problem = Problem(
            CorruptCheckpoint,
            f"the checkpoint directory {root} can't be read: {reason}",
            advice="check the path and its permissions",
        )
    raise problem.kind([problem])


def _config_or_problem(
    root: Path, listing: frozenset[str], found: Findings, absent_config: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if CONFIG_NAME not in listing and absent_config is not None:
        return dict(absent_config)
    if CONFIG_NAME not in listing and ADAPTER_CONFIG_NAME in listing:
        return None  # a LoRA adapter: named as such by kinds.py, which also says what to do
    try:
        return read_config(root)
    except CheckpointError as error:
        found.problems += error.problems
        return None
