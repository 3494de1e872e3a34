"""``merge_model_config``, with which the launcher makes a model's config of config.json and the YAML.

Stock passes on what config.json says as it is: keys of newer transformers releases end in an error, or their
``rope_parameters`` in the default base; yarn ends in an unclear one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import is_qwen3_directory
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, resolve

_MODULE = "mindformers.models.build_config"  # where it is used, too


def merge_model_config(stock: Callable[..., Any], pretrain_model_dir: Any, config: Any) -> Any:
    """Normalize config.json before the YAML is laid over it."""
    from mf_qwen3_patch.loading import mindformers_config

    if not is_qwen3_directory(pretrain_model_dir):
        return stock(pretrain_model_dir, config)
    values = config.to_dict() if hasattr(config, "to_dict") else config
    return mindformers_config.merge_model_config(pretrain_model_dir, values)


def _merges_in_another_way() -> str | None:
    stock = getattr(resolve(_MODULE), "merge_model_config", None)
    if stock is None or list(inspect.signature(stock).parameters) != ["pretrain_model_dir", "config"]:
        return "this MindFormers' launcher merges config.json and the YAML in another way"
    return None


MODEL_CONFIG = MethodPatches(
    MethodPatch(_MODULE, "merge_model_config", around(merge_model_config)), supports=_merges_in_another_way
)
