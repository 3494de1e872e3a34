"""``merge_model_config``, with which the launcher makes a model's config of config.json and the YAML.

Stock passes on what config.json says as it is: keys of newer transformers releases end in an error, or their
``rope_parameters`` in the default base; yarn ends in an unclear one.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from mindformers.models import build_config

from mf_qwen3_patch.checkpoint.files.directory import is_qwen3_directory
from mf_qwen3_patch.loading.mindformers_config import merge_model_config
from mf_qwen3_patch.loading.runtime.context import is_training_run
from mf_qwen3_patch.patches._patcher import AttributeChanges

_PARAMETERS = ["pretrain_model_dir", "config"]
_changes = AttributeChanges()


def supports() -> str | None:
    """Step aside if the launcher's config comes about in another way."""
    stock = vars(build_config).get("merge_model_config")
    if stock is None or list(inspect.signature(stock).parameters) != _PARAMETERS:
        return "this MindFormers' launcher merges config.json and the YAML in another way"
    return None


def apply() -> None:
    """Replace the function in its own module, where it is used."""
    stock = build_config.merge_model_config

    @functools.wraps(stock)
    def merged(pretrain_model_dir: Any, config: Any) -> Any:
        if not is_qwen3_directory(pretrain_model_dir) or is_training_run():
            return stock(pretrain_model_dir, config)
        return merge_model_config(pretrain_model_dir, config.to_dict() if hasattr(config, "to_dict") else config)

    _changes.set(build_config, "merge_model_config", merged)


def revert() -> None:
    """Put it back."""
    _changes.restore()
