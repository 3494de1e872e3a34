"""Models beside the place that was named: in directories below it, and in the hub caches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME, Directory
from mf_qwen3_patch.errors import IncompleteCheckpoint, Problem, some

# A model's own directory, a repository in HuggingFace's cache, and the cache itself.
_PLACES = ("*", "snapshots/*", "models--*/snapshots/*", "hub/models--*/snapshots/*")
_MOST_LOOKED_AT = 1000


def parent_problem(source: Directory) -> Problem | None:
    """Return what is wrong if a directory holds no model itself, but directories below it do; else None."""
    if CONFIG_NAME in source.listing or source.weight_files:
        return None
    below = sorted(map(str, islice(_models_below(source.path), _MOST_LOOKED_AT)))
    if not below:
        return None
    plural = "a directory below it does" if len(below) == 1 else f"{len(below)} directories below it do"
    summary = f"{source.path.name or source.path} itself holds no model, but {plural}"
    expected, found = f"{CONFIG_NAME} and .safetensors files in {source.path}", some(below)
    advice = f"did you mean {below[0]}?" if len(below) == 1 else f"name one of them, such as {below[0]}"
    return Problem(IncompleteCheckpoint, summary, file=CONFIG_NAME, expected=expected, found=found, advice=advice)


def _models_below(root: Path) -> Iterator[Path]:
    for pattern in _PLACES:
        for config in islice(root.glob(f"{pattern}/{CONFIG_NAME}"), _MOST_LOOKED_AT):
            directory = config.parent
            if any(directory.glob("*.safetensors")):
                yield directory


def cached_hub_ids(huggingface: Path | None, modelscope: Path) -> set[str]:
    """Return the hub IDs of the models that the caches have; never raises."""
    found = set()
    if huggingface is not None:
        names = (name.split("--") for name in _entries(huggingface) if name.startswith("models--"))
        found |= {"/".join(parts[1:]) for parts in names if len(parts) == 3}
    for below in ("models", "hub/models", "hub", ""):
        place = modelscope / below
        for owner in _entries(place):
            if not owner.startswith((".", "_")) and "--" not in owner and owner not in ("models", "hub"):
                found |= {f"{owner}/{name.replace('___', '.')}" for name in _models_of(place / owner)}
    return found


def _models_of(directory: Path) -> Iterator[str]:
    return (name for name in _entries(directory) if (directory / name / CONFIG_NAME).is_file())


def _entries(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir()]
    except OSError:
        return []
