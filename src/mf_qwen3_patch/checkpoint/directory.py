"""A HuggingFace checkpoint directory: config.json, index and shards, seen as one thing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files import MAX_JSON_BYTES, read_bounded
from mf_qwen3_patch.checkpoint.header import TensorInfo, inspect_header
from mf_qwen3_patch.checkpoint.index import INDEX_NAME, Index, compare_with_headers, read_index
from mf_qwen3_patch.checkpoint.strict_json import parse_object
from mf_qwen3_patch.errors import (
    CheckpointError,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    Problem,
    UnsupportedCheckpoint,
)

__all__ = ["CONFIG_NAME", "Checkpoint", "is_qwen3_directory", "open_checkpoint", "read_config"]

CONFIG_NAME = "config.json"
SINGLE_NAME = "model.safetensors"
ADAPTER_CONFIG_NAME = "adapter_config.json"
_SHARD_NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.safetensors")
_ADAPTER_NAMES = frozenset({"adapter_model.safetensors", "adapters.safetensors"})


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
    lost: frozenset[str] = frozenset()
    lost_unknown: bool = False


def is_qwen3_directory(path: object) -> bool:
    """Say whether ``path`` is a directory whose config.json says Qwen3; cheap, never raises.

    A config that is damaged in detail still counts, so that the clear error about it can follow.
    """
    if not isinstance(path, (str, os.PathLike)):
        return False
    try:
        with (Path(os.fsdecode(path)) / CONFIG_NAME).open("rb") as stream:
            raw = json.loads(stream.read(MAX_JSON_BYTES))
    except (OSError, ValueError, TypeError, RecursionError):
        return False
    if not isinstance(raw, dict):
        return False
    architectures = raw.get("architectures")
    return raw.get("model_type") == "qwen3" or (
        isinstance(architectures, list) and "Qwen3ForCausalLM" in architectures
    )


def read_config(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Read config.json as it is.

    Raises:
        IncompleteCheckpoint: It is not there.
        CorruptCheckpoint: It can't be read, or is not one sound JSON object.
    """
    path = Path(directory) / CONFIG_NAME
    advice = f"download {CONFIG_NAME} again"
    return parse_object(
        read_bounded(path, CONFIG_NAME), file=CONFIG_NAME, what=CONFIG_NAME, advice=advice
    )


def open_checkpoint(directory: str | os.PathLike[str]) -> Checkpoint:
    """Read config.json, the index and all headers of ``directory``.

    What is wrong with them is collected in ``problems``.

    Raises:
        IncompleteCheckpoint: The directory itself is not there, or is not a directory.
        CorruptCheckpoint: The directory can't be listed.
    """
    root = Path(directory)
    listing = _list(root)
    found = _Findings()
    config = _config_or_problem(root, listing, found)
    index = _choose_index(root, listing, found)
    names = list(index.shards) if index.shards else _without_index(listing, index, found)
    _warn_of_strays(listing, names, found)
    headers = _read_headers(root, names, index, found)
    if index.shards:
        problems, warnings, absent = compare_with_headers(index, headers)
        found.problems += problems
        found.warnings += warnings
        found.lost |= absent
    tensors = _merge(headers, found)
    return Checkpoint(
        directory=root,
        config=config,
        tensors=tensors,
        files=tuple(root / name for name in headers),
        problems=tuple(found.problems),
        warnings=tuple(found.warnings),
        listing=listing,
        lost=frozenset(found.lost - tensors.keys()),
        lost_unknown=found.lost_unknown,
    )


@dataclass
class _Findings:
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    lost_unknown: bool = False


def _list(root: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(root))
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


def _config_or_problem(root: Path, listing: frozenset[str], found: _Findings) -> dict[str, Any]:
    if CONFIG_NAME not in listing and ADAPTER_CONFIG_NAME in listing:
        return {}  # a LoRA adapter: named as such by kinds.py, which also says what to do
    try:
        return read_config(root)
    except CheckpointError as error:
        found.problems += error.problems
        return {}


def _choose_index(root: Path, listing: frozenset[str], found: _Findings) -> Index:
    if INDEX_NAME not in listing:
        return Index()
    index = read_index(root)
    if SINGLE_NAME in listing and SINGLE_NAME not in index.shards:
        # HuggingFace looks for the single file first, so what it would load is what we load.
        found.warnings.append(
            f"{SINGLE_NAME} and {INDEX_NAME} are both there; as with HuggingFace, {SINGLE_NAME} is used and "
            "the index with its shards is ignored: delete the one that is not meant"
        )
        return Index()
    found.problems += index.problems
    return index


def _without_index(listing: frozenset[str], index: Index, found: _Findings) -> list[str]:
    """Name the weight files of a directory that has no usable index."""
    if SINGLE_NAME in listing:
        return [SINGLE_NAME]
    names = sorted(name for name in listing if name.endswith(".safetensors") and name not in _ADAPTER_NAMES)
    if index.problems:
        # The index is there but broken; what it listed is not known, so nothing may count as missing.
        found.lost_unknown = True
    if not names:
        if not index.problems and ADAPTER_CONFIG_NAME not in listing:
            found.problems.append(_no_weights(listing))
        return []
    sets: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if match := _SHARD_NAME.fullmatch(name):
            sets.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    if not sets:
        return names
    if len(sets) > 1:
        described = ", ".join(f"{stem}-*-of-{total:05d}" for stem, total in sorted(sets))
        found.lost_unknown = True
        found.problems.append(
            Problem(
                CorruptCheckpoint,
                "the directory holds shards of more than one checkpoint and no index that says which are meant",
                file=INDEX_NAME,
                expected="shards of one checkpoint",
                found=described,
                advice="delete the shards that are not meant, or download the index",
            )
        )
        return []
    (stem, total), present = next(iter(sets.items()))
    if not index.problems:
        found.warnings.append(f"{INDEX_NAME} is not there; the shards are taken by their names")
    absent = [number for number in range(1, min(total, 9999) + 1) if number not in present]
    if absent:
        found.lost_unknown = True
        first = f"{stem}-{absent[0]:05d}-of-{total:05d}.safetensors"
        others = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        found.problems.append(
            Problem(
                IncompleteCheckpoint,
                f"{first}{others} is not there, and what it held is missing",
                file=first,
                expected=f"{total} shards",
                found=f"{len(present)} shards",
                advice="download the missing shards and the index",
            )
        )
    return [f"{stem}-{number:05d}-of-{total:05d}.safetensors" for number in sorted(present)]


def _no_weights(listing: frozenset[str]) -> Problem:
    for suffixes, kind, advice in (
        ((".gguf",), "GGUF", "download the original safetensors checkpoint, e.g. Qwen/Qwen3-14B"),
        ((".bin", ".pt", ".pth"), "PyTorch (pickle)", "save it again with safe_serialization=True"),
        ((".ckpt",), "MindSpore .ckpt", "download the original safetensors checkpoint, e.g. Qwen/Qwen3-14B"),
    ):
        names = sorted(name for name in listing if name.endswith(suffixes))
        if names:
            return Problem(
                UnsupportedCheckpoint,
                f"the weights are in {kind} format ({names[0]}); only safetensors are loaded",
                file=names[0],
                expected=".safetensors files",
                found=f"{len(names)} {kind} file{'s' if len(names) > 1 else ''}",
                advice=advice,
            )
    return Problem(
        IncompleteCheckpoint,
        "the directory holds no weights",
        file=SINGLE_NAME,
        expected=f"{SINGLE_NAME}, or {INDEX_NAME} with its shards",
        found="no .safetensors file",
        advice="download the weights, too",
    )


def _warn_of_strays(listing: frozenset[str], used: list[str], found: _Findings) -> None:
    strays = sorted(name for name in listing if name.endswith(".safetensors") and name not in used)
    if strays and used:
        found.warnings.append(f"ignored, as they are not part of the checkpoint: {', '.join(strays)}")


def _read_headers(
    root: Path, names: list[str], index: Index, found: _Findings
) -> dict[str, Mapping[str, TensorInfo]]:
    headers: dict[str, Mapping[str, TensorInfo]] = {}
    gone: dict[str, Problem] = {}
    for name in names:
        header = inspect_header(root / name, name)
        if header.problems and not header.tensors:
            gone[name] = header.problems[0]
            continue
        found.problems += header.problems
        headers[name] = header.tensors
    for name, problem in gone.items():
        lost = index.shards.get(name)
        if lost is None:
            found.lost_unknown = True
            found.problems.append(problem)
        else:
            found.lost.update(lost)
            found.problems.append(_with_lost_tensors(problem, lost, index))
    return headers


def _with_lost_tensors(problem: Problem, lost: tuple[str, ...], index: Index) -> Problem:
    """Say in the file's one problem how many tensors went with it."""
    total = sum(len(names) for names in index.shards.values())
    values: dict[str, object] = {"expected": problem.expected, "found": problem.found}
    if problem.expected is None and problem.found is None:
        values = {
            "expected": f"{total} tensors in {len(index.shards)} files",
            "found": f"{total - len(lost)} without this file",
        }
    plural = "s" if len(lost) > 1 else ""
    return Problem(
        problem.kind,
        f"{problem.summary}; {len(lost)} of {total} tensor{plural} went with it",
        file=problem.file,
        tensor=problem.tensor or lost[0],
        advice=problem.advice,
        **values,
    )


def _merge(headers: Mapping[str, Mapping[str, TensorInfo]], found: _Findings) -> dict[str, TensorInfo]:
    merged: dict[str, TensorInfo] = {}
    homes: dict[str, str] = {}
    twice: dict[tuple[str, str], list[str]] = {}
    for name, tensors in headers.items():
        for key, info in tensors.items():
            if key in merged:
                twice.setdefault((homes[key], name), []).append(key)
            else:
                merged[key] = info
                homes[key] = name
    for (first, second), keys in twice.items():
        found.problems.append(
            Problem(
                CorruptCheckpoint,
                f"{len(keys)} tensor{'s are' if len(keys) > 1 else ' is'} in two files, {first} and {second}",
                file=second,
                tensor=keys[0],
                expected="in one file",
                found=f"in {first} and {second}",
                advice="delete the file that is not meant, or download the checkpoint again",
            )
        )
    return merged
