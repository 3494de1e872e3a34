"""The tokenizer's files in a HuggingFace directory: whose they are, whether they are there, whether they are sound."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.config.mindformers_yaml import read_yaml
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME, Directory, directory_of
from mf_qwen3_patch.checkpoint.reading.read_file import file_problem, open_file, read_bounded
from mf_qwen3_patch.checkpoint.reading.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint, Problem, error_for

TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
TOKENIZER_CLASS = "Qwen2Tokenizer"
"""HuggingFace's name of the tokenizer of every Qwen3."""

TOKENIZER_NAME = "tokenizer.json"
_PARTS = ("vocab.json", "merges.txt")  # tokenizer.json made from these two says the same
_NAMES = (TOKENIZER_CONFIG_NAME, TOKENIZER_NAME, *_PARTS)

TOKENIZER_NAMES = (*_NAMES, "added_tokens.json", "special_tokens_map.json")
TOKENIZER_PATTERNS = (*TOKENIZER_NAMES, "chat_template.*")
"""All files that a tokenizer can consist of."""


def is_qwen3_tokenizer_directory(path: object) -> bool:
    """Say whether ``path`` is a HuggingFace directory with Qwen3's tokenizer, or one that lacks it; never raises.

    config.json decides, with or without weights beside it; where it is absent, the class that
    tokenizer_config.json names. A directory with a YAML that names a tokenizer of MindFormers' own is not
    one: that is somebody's explicit word, and stock follows it.
    """
    directory = directory_of(path)
    if directory is None or not directory.is_there:
        return False
    ours = directory.is_qwen3 if CONFIG_NAME in directory.listing else _is_for_qwen(directory)
    return ours and not _yaml_names_tokenizer(directory)


def read_tokenizer_config(directory: str | os.PathLike[str] | Directory) -> dict[str, Any]:
    """Read tokenizer_config.json, and see that what goes with it is there.

    Raises IncompleteCheckpoint with the names of all files that are not there, or if the directory itself is not;
    CorruptCheckpoint if one is empty, a Git LFS pointer or unreadable, or tokenizer_config.json no sound JSON object.
    """
    source = directory if isinstance(directory, Directory) else Directory(directory)
    # A link to nowhere counts as there: its own message says more.
    root, listing = source.path, source.listing
    absent = [name for name in _NAMES if name not in listing]
    wanted = (TOKENIZER_CONFIG_NAME, *(_PARTS if TOKENIZER_NAME in absent else (TOKENIZER_NAME,)))
    missing = [name for name in wanted if name in absent]
    if missing:
        alternative = f" ({TOKENIZER_NAME} would do for {' and '.join(_PARTS)})" if TOKENIZER_NAME in absent else ""
        problem = Problem(
            IncompleteCheckpoint,
            f"the tokenizer is not whole: {', '.join(missing)} missing{alternative}",
            expected=f"{TOKENIZER_CONFIG_NAME}, and {TOKENIZER_NAME} or {' and '.join(_PARTS)}",
            found=", ".join(name for name in _NAMES if name not in absent) or "none of them",
            advice="download the tokenizer's files, too, or copy the whole directory",
        )
        raise error_for([problem], str(root))
    if unreadable := [found for name in wanted if (found := file_problem(root / name, name))]:
        raise error_for(unreadable, str(root))
    return parse_object(source.read(TOKENIZER_CONFIG_NAME), file=TOKENIZER_CONFIG_NAME)


def has_tokenizer(directory: Directory) -> bool:
    """Say whether all files that the tokenizer needs are there."""
    try:
        read_tokenizer_config(directory)
    except CheckpointError as error:
        return not isinstance(error, IncompleteCheckpoint)
    return True


def damage(directory: str | os.PathLike[str]) -> tuple[Problem, ...]:
    """Say what is wrong with the tokenizer's files, each read as a whole; empty if nothing can be seen."""
    root = Path(directory)
    problems: list[Problem] = []
    for name in _NAMES:
        if os.path.lexists(root / name):
            try:
                if name.endswith(".json"):
                    parse_object(read_bounded(root / name, name), file=name)
                else:
                    open_file(root / name, name).close()
            except CheckpointError as error:
                problems += error.problems
    return tuple(problems)


def _is_for_qwen(directory: Directory) -> bool:
    try:
        raw = json.loads(directory.read(TOKENIZER_CONFIG_NAME))
    except (CheckpointError, ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and raw.get("tokenizer_class") in (TOKENIZER_CLASS, f"{TOKENIZER_CLASS}Fast")


def _yaml_names_tokenizer(directory: Directory) -> bool:
    for name in sorted(directory.listing):
        if name.endswith(".yaml"):
            with suppress(CheckpointError, OSError, ImportError):
                if read_yaml(directory.path / name).tokenizer is not None:
                    return True
    return False
