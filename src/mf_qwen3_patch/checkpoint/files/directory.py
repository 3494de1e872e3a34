"""A checkpoint's directory, looked at once: its listing, its config.json and the headers of its files."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.not_found import no_directory
from mf_qwen3_patch.checkpoint.files.safetensors_header import Header, inspect_header
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile, open_file, read_bounded
from mf_qwen3_patch.checkpoint.reading.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError, CorruptCheckpoint, Problem, error_for
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import find_family

CONFIG_NAME = "config.json"
ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.safetensors"
# Endings of what says which model a directory holds, to anyone: configs, MindFormers' own files, tokenizers.
_TELLING = frozenset({".json", ".yaml", ".yml", ".ckpt", ".bin", ".model", ".tiktoken", ".vocab"})


class Directory:
    """A directory with a checkpoint, or with none, or none at all; each of its files is opened when first asked for."""

    def __init__(self, path: str | os.PathLike[str], adapter: Directory | None = None) -> None:
        self.path = Path(path)
        self._adapter = adapter
        self._files: dict[str, CheckpointFile] = {}
        self._headers: dict[str, Header] = {}
        self._contents: dict[str, bytes] = {}

    def close(self) -> None:
        """Close the files, those of the adapter too; what was read of them stays."""
        for file in self._files.values():
            file.close()
        if self._adapter is not None:
            self._adapter.close()

    @cached_property
    def listing(self) -> frozenset[str]:
        """The names of all entries.

        Raises IncompleteCheckpoint if there is no such directory, CorruptCheckpoint if it can't be read.
        """
        try:
            return frozenset(entry.name for entry in self.path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            problem = no_directory(self.path)
        except (OSError, ValueError) as error:
            summary = f"the checkpoint directory {self.path} can't be read: {getattr(error, 'strerror', None) or error}"
            problem = Problem(CorruptCheckpoint, summary, advice="check the path and its permissions")
        raise error_for([problem])

    @property
    def adapter(self) -> Directory | None:
        """The directory of the adapter that its weights go with: the one that was given, or itself if it has one."""
        return self._adapter or (self if ADAPTER_CONFIG_NAME in self.listing else None)

    @property
    def is_adapter(self) -> bool:
        """Whether it holds an adapter and no model of its own."""
        if not self.is_there or CONFIG_NAME in self.listing:
            return False
        signs = self.listing & {ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME}
        return bool(signs) and all(name.startswith("adapter") for name in self.weight_files)

    def adapter_config(self) -> dict[str, Any]:
        """Return adapter_config.json as it is; raises CheckpointError if it is not one sound JSON object."""
        return parse_object(self.read(ADAPTER_CONFIG_NAME), file=ADAPTER_CONFIG_NAME)

    def config(self) -> dict[str, Any]:
        """Return config.json as it is; raises CheckpointError if it is not there, or is not one sound JSON object."""
        try:
            return self._config
        except CheckpointError as error:
            raise error_for(error.problems) from None

    @cached_property
    def _config(self) -> dict[str, Any]:
        return parse_object(self.read(CONFIG_NAME), file=CONFIG_NAME)

    @cached_property
    def family(self) -> Family | None:
        """The family that config.json names, None if it names none; a config that is damaged in detail still counts."""
        try:
            raw: Any = self.config()
        except CheckpointError:
            try:
                raw = json.loads(self.read(CONFIG_NAME))
            except (ValueError, RecursionError):
                return None
        return find_family(raw) if isinstance(raw, dict) else None

    def read(self, name: str) -> bytes:
        """Return the content of a JSON file; read once, see ``read_bounded``."""
        if name not in self._contents:
            self._contents[name] = read_bounded(self.path / name, name)
        return self._contents[name]

    def file(self, name: str) -> CheckpointFile:
        """Return a file of the directory, open; see ``open_file``."""
        if name not in self._files:
            self._files[name] = open_file(self.path / name, name)
        return self._files[name]

    def header(self, name: str) -> Header:
        """Return the header of a safetensors file, with what is wrong with it."""
        if name not in self._headers:
            try:
                self._headers[name] = inspect_header(self.file(name))
            except CheckpointError as error:
                self._headers[name] = Header(problems=error.problems)
        return self._headers[name]

    @property
    def weight_files(self) -> list[str]:
        """The names of all safetensors files, in order."""
        return sorted(name for name in self.listing if name.endswith(".safetensors"))

    @property
    def has_weights(self) -> bool:
        """Whether it holds safetensors files, or the directories of single ranks do."""
        return self.is_there and bool(self.weight_files or self.rank_directories)

    @property
    def is_there(self) -> bool:
        """Whether it is a directory that can be listed."""
        try:
            _ = self.listing
        except CheckpointError:
            return False
        return True

    @property
    def saved_by_mindformers(self) -> bool:
        """Whether MindFormers saved it itself, with a ``.ckpt`` instead of safetensors."""
        suffixes = {Path(name).suffix for name in self.listing}
        return ".ckpt" in suffixes and ".safetensors" not in suffixes

    @property
    def is_bare(self) -> bool:
        """Whether nothing in it says which model it holds; weights alone don't."""
        return self.is_there and not any(Path(name).suffix in _TELLING for name in self.listing)

    @property
    def is_qwen3(self) -> bool:
        """Whether its config.json says Qwen3; never raises."""
        return (
            self.is_there and not self.saved_by_mindformers and CONFIG_NAME in self.listing and self.family is not None
        )

    @property
    def is_huggingface(self) -> bool:
        """Whether it is of HuggingFace's making, of any model: by a config, or by its tensors' names; never raises."""
        if not self.is_there or self.saved_by_mindformers:
            return False
        if CONFIG_NAME in self.listing or self.is_adapter:
            return True
        return any(name.startswith("model.layers.") for file in self.weight_files for name in self.header(file).tensors)

    @property
    def rank_directories(self) -> list[str]:
        """The names of the directories of single ranks, where there are no weights beside them."""
        if not self.is_there or self.weight_files:
            return []
        found = [name for name in self.listing if name.startswith("rank_") and name[5:].isdecimal()]
        found = [name for name in found if any((self.path / name).glob("*.safetensors"))]
        return sorted(found, key=lambda name: int(name[5:]))


def directory_of(path: object) -> Directory | None:
    """Return the directory at ``path``, None if that is none; never raises."""
    if isinstance(path, Directory):
        return path
    if not isinstance(path, (str, os.PathLike)):
        return None
    try:
        root = Path(os.fsdecode(path))
        return Directory(root) if root.is_dir() else None
    except (OSError, ValueError, TypeError):
        return None


def is_qwen3_directory(path: object) -> bool:
    """Return whether ``path`` is a HuggingFace directory whose config.json says Qwen3; cheap, never raises."""
    directory = directory_of(path)
    return directory is not None and directory.is_qwen3


def is_huggingface_directory(path: object) -> bool:
    """Return whether ``path`` is a directory of HuggingFace's making, of any model; never raises."""
    directory = directory_of(path)
    return directory is not None and directory.is_huggingface


def weights_directory(path: object) -> Directory | None:
    """Return the directory at ``path`` if it holds a checkpoint to load, of any layout, or the sign of one.

    A directory with MindFormers' ``.ckpt`` files holds none.
    """
    directory = directory_of(path)
    if directory is None or not directory.is_there or directory.saved_by_mindformers:
        return None
    signs = directory.listing & {CONFIG_NAME, ADAPTER_CONFIG_NAME}
    return directory if signs or directory.has_weights else None
