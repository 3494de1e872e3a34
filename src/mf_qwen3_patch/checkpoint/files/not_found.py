"""A path at which there is no model: what is wrong, how much of the path is there, and what was probably meant."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mf_qwen3_patch.errors import IncompleteCheckpoint, Problem, some

_WANTED = "a directory with config.json and .safetensors files"
# A search for what was meant must not take long, on a network's disk either.
_MOST_DIRECTORIES, _MOST_LEVELS, _MOST_SUGGESTIONS = 200, 3, 3


def no_directory(path: Path) -> Problem:
    """Describe a path that is not there, or is a file."""
    if _is_file(path):
        summary, found = f"the checkpoint directory {path} is a file, not a directory", None
    elif path.is_symlink():
        summary, found = f"the checkpoint directory {path} is not there", f"a symbolic link to {path.readlink()}"
    else:
        parent = _nearest(path)
        names = sorted(name for name in _names(parent) if not name.startswith("."))
        held = f"with {some(names, 5, ' and {} more')}" if names else "empty"
        summary = f"the checkpoint directory {path} is not there"
        found = f"{parent} is the nearest that is there, {held}"
    return Problem(IncompleteCheckpoint, summary, expected=_WANTED, found=found, advice=_advice(path))


def no_model(directory: Path) -> Problem:
    """Describe a directory without anything of a model in it."""
    summary = f"there is no model in the directory {directory}"
    names = sorted(_names(directory))
    found = some(names, 5, " and {} more") if names else "an empty directory"
    return Problem(IncompleteCheckpoint, summary, expected=_WANTED, found=found, advice=_advice(directory))


def did_you_mean(path: Path) -> str:
    """Return a question that names the directories that were probably meant; empty if none is found."""
    meant = list(islice(dict.fromkeys(_meant(path)), _MOST_SUGGESTIONS))
    question = f"did you mean {' or '.join(map(str, meant))}?" if meant else ""
    return f"{question} (Python does not expand ~)" if question and path.parts[:1] == ("~",) else question


def _advice(path: Path) -> str:
    return did_you_mean(path) or "check the path"


def _meant(path: Path) -> Iterator[Path]:
    if path.parts and path.parts[0].startswith("~"):
        try:
            expanded = path.expanduser()
        except RuntimeError:  # no such user
            return
        if _is_directory(expanded):
            yield expanded
        else:
            yield from _meant(expanded)
        return
    if _is_directory(path):
        yield from _models_below(path)
        return
    parent = _nearest(path)
    if _has_config(parent):
        yield parent
        return
    missing, *rest = path.absolute().relative_to(parent).parts or (path.name,)
    names = {name.casefold(): name for name in _names(parent)}
    for match in difflib.get_close_matches(missing.casefold(), names, n=_MOST_SUGGESTIONS, cutoff=0.75):
        for found in (parent.joinpath(names[match], *rest), parent / names[match]):
            if _has_config(found):
                yield found
                break
            yield from _models_below(found)
    if parent != Path(parent.anchor):
        yield from (found for found in _models_below(parent) if found.name.casefold() == path.name.casefold())


def _models_below(directory: Path) -> Iterator[Path]:
    """Yield the directories below that have a config.json, the nearest first, those of a few levels only."""
    waiting = deque([(directory, 0)] if _is_directory(directory) else [])
    for _ in range(_MOST_DIRECTORIES):
        if not waiting:
            return
        here, level = waiting.popleft()
        if here != directory and _has_config(here):
            yield here
        elif level < _MOST_LEVELS:
            waiting.extend((child, level + 1) for child in _children(here))


def _children(directory: Path) -> list[Path]:
    """Return the directories to search; of a model in HuggingFace's cache, only the revision that it calls main."""
    try:
        main = directory / "snapshots" / (directory / "refs" / "main").read_text(encoding="utf-8").strip()
        if _is_directory(main):
            return [main]
    except (OSError, ValueError):
        pass
    names = sorted(name for name in _names(directory) if not name.startswith("."))
    return [child for child in (directory / name for name in names) if _is_directory(child)]


def _nearest(path: Path) -> Path:
    """Return the nearest parent that is there; of a path that goes on below a file, the file's directory."""
    return next(parent for parent in path.absolute().parents if _is_directory(parent))


def _names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir()]
    except OSError:
        return []


def _has_config(directory: Path) -> bool:
    return _is_file(directory / "config.json")


# Where the system lets nobody look, there is nothing to suggest.


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
