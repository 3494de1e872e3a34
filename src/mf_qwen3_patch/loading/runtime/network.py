"""Building the stock inference network from a config, without filling its parameters."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import mindspore
from mindspore import Parameter, Tensor
from mindspore.common.initializer import initializer
from mindspore.nn.utils import no_init_parameters

from mf_qwen3_patch.checkpoint.files.tokenizer_files import TOKENIZER_CLASS
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.registry import FAMILIES

# MindSpore switches lazy parameters on and off for the whole process: builds must not overlap.
_building = threading.RLock()


def build_config(values: Mapping[str, Any], family: Family = QWEN3) -> Any:
    """Make MindFormers' config object of a normalized config.json with overrides applied."""
    if values.get("num_experts_per_tok") == 1:
        # Stock refuses a single expert unless this says what its inference router does in any case.
        values = {"moe_router_pre_softmax": True, **values}
    config = family.load(family.config_class)(**values)
    config.tokenizer_class = TOKENIZER_CLASS  # for stock's pipeline, which looks for a tokenizer only if there is one
    return config


def build_model(config: Any, family: Family = QWEN3) -> Any:
    """Build the inference network with lazy parameters: they hold no data yet, and no memory.

    ``no_init_parameters`` does not cover the embedding, which stock fills with ``mint.zeros``: twice its size would be
    written for nothing, and bfloat16 has no such kernel on the CPU. And stock keeps of one build what it uses in the
    next one of the process.
    """
    from mindformers.parallel_core import transformer_config_utils
    from mindformers.parallel_core.inference.base_models.common.embeddings import rope_utils
    from mindformers.parallel_core.inference.tensor_parallel import layers

    with _building, no_init_parameters():
        # By a key without yarn's settings: a model would get the angles of an earlier one that has others.
        angles = vars(rope_utils).get("_ROPE_DICT", {})
        for key in [key for key in angles if "yarn" in key]:
            del angles[key]
        # After one config that can't be converted, 1.8 refuses every other one for the same reason.
        errors = vars(transformer_config_utils).get("ERROR_LOG", {})
        errors.clear()
        mint = vars(layers).get("mint")
        if mint is not None:  # else a release that makes its embeddings otherwise
            layers.mint = SimpleNamespace(**{**vars(mint), "zeros": _lazy_zeros})
        try:
            return family.load(family.inference_class)(config)
        finally:
            errors.clear()
            if mint is not None:
                layers.mint = mint


def _lazy_zeros(*size: Any, dtype: Any = None) -> Tensor:
    """Stand in for ``mint.zeros``: the tensor is filled only when it is read."""
    shape = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    return initializer("zeros", tuple(shape), dtype or mindspore.float32)


def family_of(model: Any) -> Family:
    """Return the family of an inference network; TypeError if it is none that is known."""
    # The class of a mixture may derive from the dense one: the most special one counts.
    families = [family for family in FAMILIES.values() if isinstance(model, family.load(family.inference_class))]
    if not families:
        raise TypeError(f"{type(model).__name__} is no inference network of {' or '.join(FAMILIES)}")
    return families[-1]


def network_parameters(model: Any) -> dict[str, Parameter]:
    """Return the network's parameters by name; a tied parameter appears once."""
    return {parameter.name: parameter for parameter in model.get_parameters()}
