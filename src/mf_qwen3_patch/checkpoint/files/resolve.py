"""Find the model that from_pretrained is asked for: a directory, or a hub ID."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME, Directory, is_qwen3_directory
from mf_qwen3_patch.checkpoint.files.hub import (
    cached_directories,
    download,
    is_hub_id,
    offline,
    searched_caches,
    similar_hub_id,
)
from mf_qwen3_patch.checkpoint.files.tokenizer_files import TOKENIZER_PATTERNS, has_tokenizer
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint, Problem, error_for


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

    @classmethod
    def of(cls, name: Any, keywords: Mapping[str, Any]) -> Location:
        """Make a location from the keywords of a ``from_pretrained`` call; those that say something else are left.

        Raises TypeError for a ``subfolder``, ``variant`` or ``revision`` that is no string.
        """
        if isinstance(name, Location):
            return name
        given = {key: keywords[key] for key in LOCATION_KEYWORDS if keywords.get(key) is not None}
        for key in ("subfolder", "variant", "revision"):
            if not isinstance(given.get(key, ""), str):
                raise TypeError(f"{key} must be a string, not {short_repr(given[key])}")
        return cls(name, **given)

    def says_qwen3(self, is_ours: Callable[[object], bool] = is_qwen3_directory) -> bool:
        """Say whether a Qwen3 model is asked for, as ``is_ours`` judges a directory; asks no hub, never raises.

        A hub ID is if the config.json in a cache says so or, where no cache has it, if it speaks of Qwen3 itself;
        so is a path that is not there, for a clear error.
        """
        if not isinstance(self.name, (str, os.PathLike)):
            return False
        path = Path(self.name, self.subfolder)
        speaks_of_qwen3 = "qwen3" in Path(self.name).name.lower()
        if self._is_hub_id:
            return is_ours(self._at(self._cached[0])) if self._cached else speaks_of_qwen3
        return is_ours(self._at(path)) or (len(path.parts) > 1 and speaks_of_qwen3 and not os.path.lexists(path))

    def find(self, *, config_only: bool = False) -> Directory:
        """Return the directory with config.json and the weights; download what is missing, if that is allowed.

        A model that a cache has whole is not looked for on the hub, unless ``force_download`` is set. Raises
        IncompleteCheckpoint for a hub ID that no cache has and that can't be downloaded.
        """
        if config_only:
            return self._find(lambda directory: True, CONFIG_NAME)
        return self._find(self._is_whole)

    def find_tokenizer(self) -> Directory:
        """Return the directory with the tokenizer's files; downloads and raises as ``find``."""
        return self._find(has_tokenizer, CONFIG_NAME, *TOKENIZER_PATTERNS)

    def close(self) -> None:
        """Close the files of every directory that was looked at."""
        for directory in self._directories.values():
            directory.close()

    def _find(self, enough: Callable[[Directory], bool], *only: str) -> Directory:
        if not self._is_hub_id:
            return self._at(Path(self.name) / self.subfolder)
        may_download = not self.local_files_only and not offline()
        if not self.force_download or not may_download:
            for directory in map(self._at, self._cached):
                if enough(directory):
                    return directory
        if may_download:
            try:
                found = self._download(only or (CONFIG_NAME,))
                # The weights of another model are not downloaded only to be refused.
                if not only and Directory(found).is_qwen3:
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

    def _download(self, only: tuple[str, ...] = ()) -> Path:
        keywords = {key: getattr(self, key) for key in LOCATION_KEYWORDS if key != "local_files_only"}
        return download(str(self.name), only=only, **keywords)

    def _at(self, path: Path) -> Directory:
        return self._directories.setdefault(path, Directory(path))

    @cached_property
    def _directories(self) -> dict[Path, Directory]:
        return {}

    @cached_property
    def _is_hub_id(self) -> bool:
        return is_hub_id(self.name) and not Path(self.name).exists()

    @cached_property
    def _cached(self) -> tuple[Path, ...]:
        return tuple(cached_directories(str(self.name), self.subfolder, self.revision, self.cache_dir))

    def _is_whole(self, directory: Directory) -> bool:
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
            advice=f"check the path; or download it where there is a network, `hf download {self.name}` (in China with "
            f"HF_ENDPOINT=https://hf-mirror.com) or `modelscope download --model {self.name}`, and name its directory",
        )
        return error_for([problem])


LOCATION_KEYWORDS = tuple(field.name for field in fields(Location) if field.name != "name")
"""The keywords of ``from_pretrained`` that say where the model is."""
