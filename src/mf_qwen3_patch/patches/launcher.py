"""The directories that the launcher is given, as MindFormers' Trainer checks them before it predicts.

Hub IDs become directories. Stock says at INFO level, among hundreds of lines, that a directory has no weights, and
predicts from random ones.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mf_qwen3_patch._log import info
from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.files.index import INDEX_NAME
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.errors import CheckpointWarning, error_for
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around
from mf_qwen3_patch.patches.finetune import load_path
from mf_qwen3_patch.settings import TRAINING_RUNS, is_training_run

_TRAINER = "mindformers.trainer.trainer:Trainer"
_MODEL = "pretrained_model_dir"


def check_config_rules(stock: Callable[..., None], self: Any) -> None:
    """Find the directories of the model, then say if there are no weights to load; leave training to stock.

    A Trainer that was given a model needs no directory.
    """
    config = self.config
    if is_training_run() or config.get("run_mode") in TRAINING_RUNS or self.is_model_instance:
        stock(self)
        return
    _find(config, _MODEL)
    _find(config, "load_checkpoint")
    _find(config.get("checkpoint"), "load_path")
    stock(self)
    if not load_path(config) and config.get(_MODEL):
        _check_random_weights(Directory(config[_MODEL]))


def _find(section: Any, name: str) -> None:
    """Put the directory of a hub ID in its place; raises IncompleteCheckpoint if there is no model."""
    path = section.get(name) if isinstance(section, MutableMapping) else None
    # Weights may also be one file, which load_weights judges.
    if not isinstance(path, str) or not path or (name != _MODEL and Path(path).is_file()):
        return
    with closing(Location(path)) as location:
        if not location.says_qwen3():
            return
        directory = location.find()
    # Of an adapter, the base model is found by whoever reads the adapter.
    found = directory.path if directory.adapter is None else directory.adapter.path
    if found != Path(path):
        info("%s=%s is in %s", name, path, found)
        section[name] = str(found)


def _check_random_weights(directory: Directory) -> None:
    """Warn that nothing will be loaded; raise if the directory itself says that there should be something."""
    if not directory.is_qwen3:
        return
    if INDEX_NAME in directory.listing:
        raise error_for(open_checkpoint(directory).problems, str(directory.path))
    why = f"{directory.path} has no .safetensors files, and load_checkpoint names no other directory"
    warn(f"the answers come from random weights: {why}", CheckpointWarning)


LAUNCHER = MethodPatches(MethodPatch(_TRAINER, "_check_config_rules", around(check_config_rules), _TRAINER))
