"""Models under a hub ID: where a cache on this machine keeps them, and how they are downloaded.

Whatever HuggingFace's cache looks like is huggingface_hub's business, which is asked. Of ModelScope's only the
places are known here; nothing is downloaded from there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mf_qwen3_patch._nearest import nearest
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_BESIDE_WEIGHTS = ("*.json", "*.jinja")
# ModelScope's names for the newest revision; the caches keep only one.
_NEWEST = (None, "main", "master")


def is_hub_id(name: object) -> bool:
    """Say whether ``name`` has the form of a hub ID, ``Qwen/Qwen3-14B``."""
    return isinstance(name, str) and _HUB_ID.fullmatch(name) is not None


def offline() -> bool:
    """Say whether huggingface_hub must not be asked: ``HF_HUB_OFFLINE``, or it is not installed."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return True
    return bool(constants.HF_HUB_OFFLINE)


def cached_directories(
    hub_id: str,
    subfolder: str,
    revision: str | None,
    cache_dir: str | os.PathLike[str] | None,
    sign: str = CONFIG_NAME,
) -> Iterator[Path]:
    """Yield the directories in which a cache on this machine has a config.json, or another ``sign``, of that model.

    ModelScope's caches are searched for the newest ``revision`` only, and not where ``cache_dir`` names HuggingFace's.
    """
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        pass
    else:
        place = None if cache_dir is None else Path(cache_dir)
        found = try_to_load_from_cache(hub_id, _inside(subfolder, sign), cache_dir=place, revision=revision)
        if isinstance(found, str):
            yield Path(found).parent
    if cache_dir is None and revision in _NEWEST:
        directories = (place / subfolder for place in _modelscope_places(hub_id))
        yield from (directory for directory in directories if (directory / sign).is_file())


def searched_caches(cache_dir: str | os.PathLike[str] | None = None) -> str:
    """Name the caches that ``cached_directories`` searches, for a message."""
    if cache_dir is not None:
        return str(cache_dir)
    try:
        from huggingface_hub import constants
    except ImportError:
        return f"{_modelscope_root()} (huggingface_hub is not installed)"
    return f"{constants.HF_HUB_CACHE} and {_modelscope_root()}"


def similar_hub_id(hub_id: str, cache_dir: str | os.PathLike[str] | None = None) -> str | None:
    """Return the hub ID that is most like this one, of the models that the caches have; None if none is like it."""
    place = cache_dir
    if place is None:
        try:
            from huggingface_hub import constants
        except ImportError:
            pass
        else:
            place = constants.HF_HUB_CACHE
    known = _cached_hub_ids(None if place is None else Path(place), _modelscope_root())
    return None if hub_id in known else nearest(hub_id, known)


def download(hub_id: str, *, subfolder: str, variant: str | None, only: Collection[str], **keywords: Any) -> Path:
    """Download the safetensors and JSON files of a model and its chat template, those that are not in the cache yet.

    Of the weights those of the ``variant`` are taken (``model.fp16.safetensors``); with ``only``, nothing but files of
    these patterns. The ``keywords`` are huggingface_hub's, and so is the class of the OSError if they can't be had.
    """
    from huggingface_hub import snapshot_download

    ignored = ["*/*"]
    if only:
        wanted = [*only]
    elif variant is None:
        wanted = [*_BESIDE_WEIGHTS, "*.safetensors"]
        ignored.append("*.*.safetensors")
    else:
        wanted = [*_BESIDE_WEIGHTS, f"*.{variant}.safetensors", f"*.{variant}-*.safetensors"]
    snapshot = snapshot_download(
        hub_id,
        allow_patterns=[_inside(subfolder, pattern) for pattern in wanted],
        ignore_patterns=[_inside(subfolder, pattern) for pattern in ignored],
        **keywords,
    )
    return Path(snapshot) / subfolder


def _inside(subfolder: str, name: str) -> str:
    return f"{subfolder.strip('/')}/{name}" if subfolder.strip("/") else name


def _modelscope_root() -> Path:
    return Path(os.environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope").expanduser()


def _modelscope_places(hub_id: str) -> Iterator[Path]:
    """Yield where ModelScope's releases have put a model; most replace the dots in its name."""
    root = _modelscope_root()
    owner, name = hub_id.split("/")
    yield root / "models" / f"{owner}--{name}" / "snapshots" / "master"
    for below in ("models", "hub/models", "hub", ""):
        for directory in (name.replace(".", "___"), name):
            yield root / below / owner / directory


def _cached_hub_ids(huggingface: Path | None, modelscope: Path) -> set[str]:
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
