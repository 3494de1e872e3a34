"""Find the model that from_pretrained is asked for: a directory, or a hub ID."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import (
    ADAPTER_CONFIG_NAME,
    ADAPTER_WEIGHTS_NAME,
    CONFIG_NAME,
    Directory,
    directory_of,
    is_qwen3_directory,
)
from mf_qwen3_patch.checkpoint.files.not_found import did_you_mean, no_model
from mf_qwen3_patch.checkpoint.files.tokenizer_files import TOKENIZER_PATTERNS, has_tokenizer
from mf_qwen3_patch.checkpoint.location.hub import (
    cached_directories,
    download,
    is_hub_id,
    offline,
    searched_caches,
    similar_hub_id,
)
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for

# Of a file that MindFormers' own from_pretrained takes.
_MINDFORMERS_SUFFIXES = frozenset({".yaml", ".yml", ".ckpt"})


@dataclass(frozen=True)
class Location:
    """A model as transformers' ``from_pretrained`` names it: by a directory or, if it is none, by a hub ID."""

    name: str | os.PathLike[str]
    subfolder: str = ""  # the directory below it that has config.json and the weights
    revision: str | None = None  # of a hub ID: a branch, tag or commit
    variant: str | None = None  # of the weights: fp16 for model.fp16.safetensors
    cache_dir: str | os.PathLike[str] | None = None  # HuggingFace's cache, if not the usual one
    local_files_only: bool = False
    force_download: bool = False
    token: str | bool | None = None
    adapter: str | os.PathLike[str] | None = None  # a LoRA adapter that is merged into the weights: directory or hub ID

    @classmethod
    def of(cls, name: Any, keywords: Mapping[str, Any]) -> Location:
        """Make a location from the keywords of a ``from_pretrained`` call; those that say something else are left.

        Raises TypeError for a ``subfolder``, ``variant`` or ``revision`` that is no string, ValueError for a token by
        both of its names.
        """
        if isinstance(name, Location):
            return name
        given = {key: keywords[key] for key in LOCATION_KEYWORDS if keywords.get(key) is not None}
        if _OLDER_TOKEN in given:
            if "token" in given:
                raise ValueError(f"token and {_OLDER_TOKEN}, its older name, are both given: leave {_OLDER_TOKEN} out")
            given["token"] = given.pop(_OLDER_TOKEN)
        for key in ("subfolder", "variant", "revision"):
            if not isinstance(given.get(key, ""), str):
                raise TypeError(f"{key} must be a string, not {short_repr(given[key])}")
        return cls(name, **given)

    def says_qwen3(self, is_ours: Callable[[object], bool] = is_qwen3_directory) -> bool:
        """Say whether a Qwen3 model is asked for, as ``is_ours`` judges a directory; asks no hub, never raises.

        A hub ID is if the config.json in a cache says so or, where no cache has it, if it speaks of Qwen3 itself;
        so is a path at which there is no model, for a clear error.
        """
        if not isinstance(self.name, (str, os.PathLike)):
            return False
        given = self._at(self._cached[0] if self._is_hub_id and self._cached else self._path)
        # An adapter has no adapter for its base.
        if given.is_adapter and self.adapter is None and ADAPTER_CONFIG_NAME in given.listing:
            base = base_model(given)
            # Of one that names no base nobody but the shim could say so.
            return base is None or self._base(base, given).says_qwen3(is_ours)
        if self._is_hub_id:
            return is_ours(given) if self._cached else "qwen3" in Path(self.name).name.lower()
        return is_ours(given) or self._leads_nowhere(given)

    def find(self, *, config_only: bool = False) -> Directory:
        """Return the directory with config.json and the weights; download what is missing, if that is allowed.

        A model that a cache has whole is not looked for on the hub, unless ``force_download`` is set. Raises
        IncompleteCheckpoint for a hub ID that no cache has and that can't be downloaded.
        """
        if config_only:
            return self._with_adapter(self._find(lambda directory: True, *_CONFIGS), config_only)
        return self._with_adapter(self._find(self._is_whole), config_only)

    def find_tokenizer(self) -> Directory:
        """Return the directory with the tokenizer's files; downloads and raises as ``find``."""
        found = self._find(has_tokenizer, *_CONFIGS, *TOKENIZER_PATTERNS)
        base = base_model(found) if found.is_adapter and not has_tokenizer(found) else None
        return found if base is None else self._base(base, found).find_tokenizer()

    def close(self) -> None:
        """Close the files of every directory that was looked at."""
        for directory in self._directories.values():
            directory.close()

    def _with_adapter(self, found: Directory, config_only: bool = False) -> Directory:
        """Return the directory with the adapter that is asked for, or the base model of a directory that is one."""
        if self.adapter is None and not found.is_adapter:
            return found
        if self.adapter is None:
            if (base := base_model(found)) is None:
                return found  # the checks say so
            try:
                directory = self._base(base, found).find(config_only=config_only)
                _ = directory.listing
            except IncompleteCheckpoint as error:
                raise _no_base(found, error.problems[0]) from error
            # It is closed with what was found here.
            self._directories[found.path / "base"] = directory
            return directory
        if found.adapter is not None:
            raise _several(found)
        adapter = self._find_adapter(self.adapter)
        if ADAPTER_CONFIG_NAME not in adapter.listing:
            raise _no_adapter(adapter)
        self._directories[adapter.path / "base"] = directory = Directory(found.path, adapter)
        return directory

    def _base(self, base: str, adapter: Directory) -> Location:
        """Return where the base model of an adapter is that was found here."""
        return replace(self, name=base, subfolder="", revision=None, variant=None, adapter=adapter.path)

    def _find_adapter(self, name: str | os.PathLike[str]) -> Directory:
        """Return the directory of an adapter that is named beside the model; downloads and raises as ``find``."""
        place = replace(self, name=name, subfolder="", revision=None, variant=None, adapter=None)
        return Directory(place._find(_is_whole_adapter, ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME).path)

    def _find(self, enough: Callable[[Directory], bool], *only: str) -> Directory:
        if not self._is_hub_id:
            directory = self._at(self._path)
            _ = directory.listing  # raises if there is none
            if directory.is_bare and not directory.has_weights:
                raise error_for([no_model(directory.path)])
            return directory
        may_download = not self.local_files_only and not offline()
        if not self.force_download or not may_download:
            for directory in map(self._at, self._cached):
                if enough(directory):
                    return directory
        if may_download:
            try:
                found = self._download(only or _CONFIGS)
                # The weights of another model are not downloaded only to be refused.
                if not only and (Directory(found).is_qwen3 or Directory(found).is_adapter):
                    found = self._download()
                # What was read before may have been replaced.
                self._directories.pop(found, Directory(found)).close()
                return self._at(found)
            except (OSError, ValueError) as error:
                if not self._cached:
                    reason = str(error).strip().split("\n")[0].split(". ")[0] or type(error).__name__
                    raise self._nowhere(f"it could not be downloaded: {reason:.200}") from None  # the reason says it
        if self._cached:
            return self._at(self._cached[0])  # a check will say what is missing of it
        switch = "local_files_only=True" if self.local_files_only else "HF_HUB_OFFLINE"
        raise self._nowhere(f"it was not looked for on the hub ({switch})")

    def _leads_nowhere(self, directory: Directory) -> bool:
        """Say whether the name is a path at which MindFormers could read nothing."""
        if directory.is_there:
            return directory.is_bare
        if directory.path.suffix in _MINDFORMERS_SUFFIXES:
            return False
        name = os.fspath(self.name)
        is_path = not isinstance(self.name, str) or os.sep in name or name.startswith(("~", ".")) or self.subfolder
        return bool(is_path) or os.path.lexists(directory.path)

    def _download(self, only: tuple[str, ...] = ()) -> Path:
        keywords = {key: getattr(self, key) for key in _FIELDS if key not in _OF_NO_HUB}
        return download(str(self.name), only=only, **keywords)

    def _at(self, path: Path) -> Directory:
        return self._directories.setdefault(path, Directory(path))

    @cached_property
    def _directories(self) -> dict[Path, Directory]:
        return {}

    @cached_property
    def _path(self) -> Path:
        return Path(self.name) / self.subfolder

    @cached_property
    def _is_hub_id(self) -> bool:
        return is_hub_id(self.name) and not Path(self.name).exists()

    @cached_property
    def _cached(self) -> tuple[Path, ...]:
        place = (str(self.name), self.subfolder, self.revision, self.cache_dir)
        # One that has both is a model with an adapter beside it.
        return tuple(dict.fromkeys(found for sign in _CONFIGS for found in cached_directories(*place, sign)))

    def _is_whole(self, directory: Directory) -> bool:
        if directory.is_adapter:
            return _is_whole_adapter(directory)
        try:
            problems = open_checkpoint(directory, variant=self.variant).problems
        except CheckpointError:
            return False
        return not any(issubclass(problem.kind, IncompleteCheckpoint) for problem in problems)

    def _nowhere(self, reason: str) -> CheckpointError:
        revision = f" at revision {self.revision}" if self.revision else ""
        similar = similar_hub_id(str(self.name), self.cache_dir)
        problem = Problem(
            IncompleteCheckpoint,
            f"{self.name}{revision} is not a directory here and no cache has it, and {reason}",
            expected=f"a directory, or a hub ID in {searched_caches(self.cache_dir)}",
            found=f"{similar} in a cache, which has a name like it" if similar else None,
            advice=f"{did_you_mean(Path(self.name)) or 'check the path;'} or download it where there is a network, "
            f"`hf download {self.name}` (in China with HF_ENDPOINT=https://hf-mirror.com) or "
            f"`modelscope download --model {self.name}`, and name its directory",
        )
        return error_for([problem])


def leads_to_qwen3(path: object, is_ours: Callable[[object], bool] = is_qwen3_directory) -> bool:
    """Return whether ``path`` is a directory with a Qwen3 model, or with an adapter of one; never raises."""
    directory = directory_of(path)
    return directory is not None and Location(directory.path, local_files_only=True).says_qwen3(is_ours)


def with_adapter(
    directory: str | os.PathLike[str] | Directory, adapter: str | os.PathLike[str] | None = None
) -> Directory:
    """Return a directory with an adapter, which may be given; of one that is an adapter, its base model's with it.

    Nothing is downloaded. Of an adapter that names no base model it is the directory itself. Raises CheckpointError if
    the base model is not found, or if there are two adapters.
    """
    source = directory if isinstance(directory, Directory) else Directory(directory)
    return Location(source.path, adapter=adapter, local_files_only=True)._with_adapter(source)


def _is_whole_adapter(directory: Directory) -> bool:
    return directory.is_there and {ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME} <= directory.listing


def base_model(adapter: Directory) -> str | None:
    """Return the name of the model that an adapter was trained on, None if its adapter_config.json doesn't say."""
    try:
        base = adapter.adapter_config().get("base_model_name_or_path")
    except CheckpointError:
        return None
    return base if isinstance(base, str) and base else None


def _no_base(adapter: Directory, problem: Problem) -> CheckpointError:
    summary = f"the base model that {ADAPTER_CONFIG_NAME} names is not here: {problem.summary}"
    file, field = ADAPTER_CONFIG_NAME, "base_model_name_or_path"
    advice = "load the base model from where it is, and name this directory as its adapter: adapter=..."
    return error_for([replace(problem, summary=summary, file=file, field=field, advice=advice)], str(adapter.path))


def _several(base: Directory) -> CheckpointError:
    summary = f"there are two adapters: {base.path} has one already"
    details = {"expected": "one adapter", "found": ADAPTER_CONFIG_NAME}
    advice = "merge the one with PEFT's merge_and_unload() and save that; the other is merged as it is loaded"
    problem = Problem(UnsupportedCheckpoint, summary, file=ADAPTER_CONFIG_NAME, **details, advice=advice)
    return error_for([problem], str(base.path))


def _no_adapter(adapter: Directory) -> CheckpointError:
    summary = f"{adapter.path} has no {ADAPTER_CONFIG_NAME}, so that it is no LoRA adapter"
    details = {"expected": ADAPTER_CONFIG_NAME, "found": "none"}
    advice = "name the directory that PEFT's save_pretrained() wrote"
    problem = Problem(IncompleteCheckpoint, summary, file=ADAPTER_CONFIG_NAME, **details, advice=advice)
    return error_for([problem], str(adapter.path))


_CONFIGS = (CONFIG_NAME, ADAPTER_CONFIG_NAME)
_OF_NO_HUB = ("local_files_only", "adapter")

_OLDER_TOKEN = "use_auth_token"
_FIELDS = tuple(field.name for field in fields(Location) if field.name != "name")

LOCATION_KEYWORDS = (*_FIELDS, _OLDER_TOKEN)
"""The keywords of ``from_pretrained`` that say where the model is."""
