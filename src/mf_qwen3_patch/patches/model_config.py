"""``merge_model_config`` and ``GenerationConfig.from_pretrained``, with which the launcher reads a model's two configs.

Stock passes on what config.json says as it is: keys of newer transformers releases end in an error, or their
``rope_parameters`` in the default base; yarn ends in an unclear one. Without a generation_config.json it forgets what
config.json says of it, so that nothing but the length ends an answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import is_qwen3_directory
from mf_qwen3_patch.checkpoint.location.resolve import leads_to_qwen3
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, resolve
from mf_qwen3_patch.settings import is_training_run

_MODULE = "mindformers.models.build_config"  # where it is used, too
_GENERATION = "mindformers.generation.generation_config:GenerationConfig"


def merge_model_config(stock: Callable[..., Any], pretrain_model_dir: Any, config: Any) -> Any:
    """Normalize config.json before the YAML is laid over it."""
    from mf_qwen3_patch.loading import mindformers_config

    # What is trained is a model, not an adapter's base.
    is_ours = is_qwen3_directory if is_training_run() else leads_to_qwen3
    if not is_ours(pretrain_model_dir):
        return stock(pretrain_model_dir, config)
    values = config.to_dict() if hasattr(config, "to_dict") else config
    return mindformers_config.merge_model_config(pretrain_model_dir, values)


def generation_config(stock: Callable[..., Any], cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Read a Qwen3 directory's generation_config.json as ``from_pretrained`` does; leave other calls to stock."""
    if cls is not resolve(_GENERATION) or len(args) != 1 or kwargs or is_training_run() or not leads_to_qwen3(args[0]):
        return stock(cls, *args, **kwargs)
    from mf_qwen3_patch.loading.generation.generation_config import load_generation_config

    return load_generation_config(args[0])


def _merges_in_another_way() -> str | None:
    stock = getattr(resolve(_MODULE), "merge_model_config", None)
    if stock is None or list(inspect.signature(stock).parameters) != ["pretrain_model_dir", "config"]:
        return "this MindFormers' launcher merges config.json and the YAML in another way"
    return None


MODEL_CONFIG = MethodPatches(
    MethodPatch(_MODULE, "merge_model_config", around(merge_model_config)),
    MethodPatch(
        _GENERATION,
        "from_pretrained",
        lambda stock: classmethod(around(generation_config)(stock.__func__)),
        expected_owner=_GENERATION,
    ),
    supports=_merges_in_another_way,
)
