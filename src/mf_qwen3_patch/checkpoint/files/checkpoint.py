"""A checkpoint, opened once: config.json, index and shards, seen as one thing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME, Directory
from mf_qwen3_patch.checkpoint.files.index import Findings, compare_with_headers
from mf_qwen3_patch.checkpoint.files.not_found import no_model
from mf_qwen3_patch.checkpoint.files.safetensors_header import Header, TensorInfo
from mf_qwen3_patch.checkpoint.files.shards import choose_files, merge_headers, read_headers
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile
from mf_qwen3_patch.errors import CheckpointError, Problem
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import find_family, is_known
from mf_qwen3_patch.families.tensors import TensorName, parse_name


@dataclass(frozen=True)
class Checkpoint:
    """The content of a directory, sound or not; its files stay open until ``close``."""

    source: Directory
    config: dict[str, Any]  # config.json as it is, or what stands in for it; empty if it can't be read
    tensors: Mapping[str, TensorInfo]  # of all files that could be read
    files: tuple[Path, ...]  # the weight files that are used
    problems: tuple[Problem, ...]  # most important first
    warnings: tuple[str, ...]
    config_read: bool = True  # whether there is a config
    lost: frozenset[str] = frozenset()  # tensors known by the index alone, as their file is missing or damaged
    adapted: int = 0  # the number of tensors that an adapter changes, which is merged into them
    dequantized: str = ""  # the method by which some were quantized that are seen as what they stand for
    lost_unknown: bool = False  # whether a file is missing or damaged and no index says what it held

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what was read of them stays."""
        self.source.close()

    @property
    def directory(self) -> Path:
        """The directory."""
        return self.source.path

    @property
    def listing(self) -> frozenset[str]:
        """The names of all entries of the directory."""
        return self.source.listing

    @cached_property
    def family(self) -> Family | None:
        """The family that the config names, None if it is none that is known."""
        return find_family(self.config)

    @cached_property
    def names(self) -> dict[str, TensorName]:
        """The names of all tensors, those that are lost included, taken apart."""
        return {name: parse_name(name) for name in (*self.tensors, *self.lost)}

    @cached_property
    def unknown_names(self) -> tuple[str, ...]:
        """The names of the tensors that HuggingFace's models of no family have."""
        names = self.names
        return tuple(name for name in self.tensors if not is_known(names[name]))

    @property
    def headers(self) -> dict[Path, Header]:
        """The headers of the files that are used."""
        return {path: home.header(name) for path, (home, name) in self._homes.items()}

    def file(self, path: Path) -> CheckpointFile:
        """Return one of the weight files, open."""
        home, name = self._homes[path]
        return home.file(name)

    @cached_property
    def _homes(self) -> dict[Path, tuple[Directory, str]]:
        """The directory that each file is opened through, the checkpoint's or the adapter's, and its name there."""
        adapter = self.source.adapter
        homes = {}
        for path in self.files:
            home = adapter if adapter is not None and path.parent == adapter.path else self.source
            homes[path] = home, str(path.relative_to(home.path))
        return homes

    def check_unchanged(self) -> None:
        """Raise CorruptCheckpoint if a weight file was replaced or written to since its header was read."""
        for path in self.files:
            self.file(path).check_unchanged()


def open_checkpoint(
    directory: str | os.PathLike[str] | Directory,
    *,
    absent_config: Mapping[str, Any] | None = None,
    variant: str | None = None,
) -> Checkpoint:
    """Read config.json, the index and all headers of a directory; what is wrong with them is collected.

    ``absent_config`` stands in for config.json where the directory has none; ``variant`` is that of the weights,
    ``fp16`` for ``model.fp16.safetensors``. Raises CheckpointError if the directory itself can't be listed.
    """
    source = directory if isinstance(directory, Directory) else Directory(directory)
    found = Findings()
    config = _config_or_problem(source, found, absent_config)
    names, index = choose_files(source, found, variant=variant)
    headers = read_headers(source, names, index, found)
    compare_with_headers(index, headers, found)
    tensors = merge_headers(source, headers, index, found)
    if source.is_bare and not source.weight_files:
        found.problems = [no_model(source.path)]  # which says why everything is missing
    return Checkpoint(
        source=source,
        config=config or {},
        config_read=config is not None,
        tensors=tensors,
        files=tuple(source.path / name for name in headers),
        problems=tuple(found.problems),
        warnings=tuple(found.warnings),
        lost=frozenset(found.lost - tensors.keys()),
        lost_unknown=found.lost_unknown,
    )


def _config_or_problem(
    source: Directory, found: Findings, absent_config: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if CONFIG_NAME not in source.listing:
        if absent_config is not None:
            return dict(absent_config)
        if source.is_adapter:
            return None  # a LoRA adapter: named as such by the checks, which also say what to do
    try:
        return source.config()
    except CheckpointError as error:
        found.problems += error.problems
        return None
