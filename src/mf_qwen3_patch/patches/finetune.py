"""The load of MindFormers' trainer: a HuggingFace Qwen3 directory is checked and converted, and the load verified.

Optimizer state, resumed training, the directories of ranks, strategies and ``.ckpt`` files stay MindFormers' own.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, class_path, resolve

_MODULE = "mindformers.utils.load_checkpoint_utils"
_SWITCHES = ("use_contiguous_weight_layout_attention", "use_interleaved_weight_layout_mlp")
_PARAMETERS = {
    "get_load_path_after_hf_convert": ["config", "network"],
    "load_safetensors_checkpoint": [
        "config",
        "load_checkpoint_files",
        "network",
        "strategy_path",
        "load_ckpt_path",
        "optimizer",
    ],
}


def get_load_path_after_hf_convert(stock: Callable[..., Any], config: Any, network: Any) -> Any:
    """Convert a HuggingFace directory for a Qwen3 training network; leave everything else to stock."""
    from mf_qwen3_patch.finetune.prepare import prepare
    from mf_qwen3_patch.finetune.training_network import TrainingNetwork

    trained = TrainingNetwork.find(network)
    converted = None
    if trained is not None and _loads_weights_alone(config):
        converted = prepare(trained, load_path(config), config.get("output_dir"))
    return stock(config, network) if converted is None else converted


def load_safetensors_checkpoint(
    stock: Callable[..., Any],
    config: Any,
    load_checkpoint_files: Any,
    network: Any,
    strategy_path: Any,
    load_ckpt_path: Any,
    optimizer: Any,
) -> Any:
    """Let stock load, then check what a Qwen3 training network has got."""
    from mf_qwen3_patch.finetune.loaded import check_loaded
    from mf_qwen3_patch.finetune.training_network import TrainingNetwork
    from mf_qwen3_patch.loading.execute import discard_report

    started = time.perf_counter()
    trained = TrainingNetwork.find(network)
    if trained is not None:
        discard_report(trained.model)
    result = stock(config, load_checkpoint_files, network, strategy_path, load_ckpt_path, optimizer)
    if trained is not None and _loads_weights_alone(config):
        check_loaded(trained, load_ckpt_path, started)
    return result


def convert_weight_dict(stock: Callable[..., Any], self: Any, source_dict: Any, **kwargs: Any) -> Any:
    """Refuse what cannot be merged, and return Parameters; a stand-in for a network gets what stock returns."""
    from mf_qwen3_patch.loading import weight_dict

    families = [each for each in FAMILIES.values() if isinstance(self, each.load(each.training_class))]
    if not families:
        return stock(self, source_dict, **kwargs)
    family = families[-1]
    return weight_dict.convert_for_training(stock, self, source_dict, family=family, **kwargs)


def load_path(config: Any) -> Any:
    """Return the directory that is to be loaded; newer releases have it in a section of its own."""
    section = config.get("checkpoint")
    return section["load_path"] if section and "load_path" in section else config.get("load_checkpoint")


def _loads_weights_alone(config: Any) -> bool:
    legacy = config.get("use_legacy_format", config.get("ckpt_use_legacy_format"))
    return config.get("load_ckpt_format") == "safetensors" and not config.get("resume_training") and legacy is not False


def _loads_in_another_way() -> str | None:
    module = resolve(_MODULE)
    for name, expected in _PARAMETERS.items():
        stock = getattr(module, name, None)
        if stock is None or list(inspect.signature(stock).parameters) != expected:
            return f"this MindFormers' trainer loads in another way: {_MODULE} has no {name}({', '.join(expected)})"
    known = resolve("mindformers.parallel_core.transformer_config_utils").COMMON_CONFIG_MAPPING
    if missing := [name for name in _SWITCHES if name not in known]:
        return f"this MindFormers' training networks have no {missing[0]}: their layout can't be told"
    return None


FINETUNE = MethodPatches(
    *(
        MethodPatch(_MODULE, function.__name__, around(function), everywhere=True)
        for function in (get_load_path_after_hf_convert, load_safetensors_checkpoint)
    ),
    *(
        MethodPatch(owner, "convert_weight_dict", around(convert_weight_dict), owner)
        for owner in (class_path(family, family.training_class) for family in FAMILIES.values())
    ),
    supports=_loads_in_another_way,
)
