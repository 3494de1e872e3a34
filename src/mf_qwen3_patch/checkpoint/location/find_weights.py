"""Find the weights that a network is asked to load: in a directory, in a file that is all of them, or in a cache."""

from __future__ import annotations

import os
from pathlib import Path

from mf_qwen3_patch.checkpoint.files.directory import Directory, weights_directory
from mf_qwen3_patch.checkpoint.files.not_found import no_model
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.errors import IncompleteCheckpoint, Problem, error_for


def find_weights(path: object) -> Directory | None:
    """Return the directory at ``path``, or in a cache under a hub ID, with weights to load; None for MindFormers' own.

    Raises IncompleteCheckpoint where there is none, or nothing of a model in it, or for a file of several.
    """
    if not isinstance(path, (str, os.PathLike)):
        return None
    directory = Location(_directory_of_file(Path(path)) or path, local_files_only=True).find()
    if directory.saved_by_mindformers:
        return None
    if weights_directory(directory) is None:
        raise error_for([no_model(directory.path)])
    return directory


def _directory_of_file(file: Path) -> Path | None:
    """Return the directory of a safetensors file that is all of a checkpoint's weights; None for any other path.

    Raises IncompleteCheckpoint for one of several.
    """
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    if (files := sorted(other.name for other in file.parent.glob("*.safetensors"))) != [file.name]:
        summary = f"{file.name} is one of {len(files)} weight files, and alone it is no checkpoint"
        where = {"file": file.name, "expected": "the directory of a checkpoint", "found": "one of its files"}
        advice = f"name the directory: {file.parent}"
        raise error_for([Problem(IncompleteCheckpoint, summary, **where, advice=advice)], str(file.parent))
    return file.parent
