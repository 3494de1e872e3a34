"""MindFormers' Trainer, where it predicts: what it is made of, and the directories that it is given.

Hub IDs become directories. Stock says at INFO level, among hundreds of lines, that a directory has no weights, and
predicts from random ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mf_qwen3_patch._log import info
from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.files.index import INDEX_NAME
from mf_qwen3_patch.checkpoint.location.resolve import Location, leads_to_qwen3
from mf_qwen3_patch.errors import CheckpointWarning, error_for
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, resolve
from mf_qwen3_patch.patches.finetune import load_path
from mf_qwen3_patch.settings import TRAINING_RUNS, is_training_run

_TRAINER = "mindformers.trainer.trainer:Trainer"
_MODEL = "pretrained_model_dir"
_THEIR_TOKENIZER, _BASE = "transformers.tokenization_utils_base", "PreTrainedTokenizerBase"


def init(stock: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    """Take HuggingFace's tokenizer, and build the context that a YAML asks for if there is none.

    Stock makes that tokenizer itself when it gets none, but refuses to be given it.
    """
    if is_training_run():
        stock(self, *args, **kwargs)
        return
    given = inspect.signature(stock).bind(self, *args, **kwargs)
    tokenizer = given.arguments.get("tokenizer")
    if theirs := _is_huggingface_tokenizer(tokenizer):
        given.arguments["tokenizer"] = None
    _ensure_context(given.arguments.get("args"))
    stock(*given.args, **given.kwargs)
    if theirs:
        self.tokenizer = tokenizer


def _is_huggingface_tokenizer(tokenizer: object) -> bool:
    return any(cls.__module__ == _THEIR_TOKENIZER and cls.__name__ == _BASE for cls in type(tokenizer).__mro__)


def _ensure_context(settings: Any) -> None:
    """Build the context of a YAML that predicts with a Qwen3 directory, as run_mindformer.py does before its Trainer.

    Without one the Trainer looks for a legacy model, of which there is none for Qwen3.
    """
    yaml_config = resolve("mindformers.tools.register:MindFormerConfig")
    config = yaml_config(settings) if isinstance(settings, str) and Path(settings).is_file() else settings
    if not isinstance(config, yaml_config) or config.get("run_mode") in TRAINING_RUNS or config.get("use_legacy", True):
        return
    if not leads_to_qwen3(config.get(_MODEL)):
        return
    from mf_qwen3_patch.loading.runtime.context import context_exists
    from mindformers import build_context

    if not context_exists():
        build_context(config)
        info("built the MindFormers context that the Trainer's YAML asks for")


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


LAUNCHER = MethodPatches(
    MethodPatch(_TRAINER, "__init__", around(init), _TRAINER),
    MethodPatch(_TRAINER, "_check_config_rules", around(check_config_rules), _TRAINER),
)
