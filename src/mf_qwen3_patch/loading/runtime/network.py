"""Building the stock inference network from a config, without filling its parameters."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mindspore
from mindspore import Parameter, Tensor
from mindspore.common.initializer import initializer
from mindspore.nn.utils import no_init_parameters

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.registry import FAMILIES

_SOFTMAX_FIRST = "moe_router_pre_softmax"

# MindSpore switches lazy parameters on and off for the whole process: builds must not overlap.
_building = threading.RLock()


def build_config(values: Mapping[str, Any], family: Family = QWEN3) -> Any:
    """Make MindFormers' config object of a normalized config.json with overrides applied."""
    if values.get("num_experts_per_tok") == 1:
        # Stock refuses a single expert unless this says what its inference router does in any case.
        values = {_SOFTMAX_FIRST: True, **values}
    return family.load(family.config_class)(**values)


def build_model(config: Any, family: Family = QWEN3) -> Any:
    """Build the inference network with lazy parameters: they hold no data yet, and no memory."""
    with _building, _apart_from_other_builds(), no_init_parameters(), _lazy_embeddings():
        return family.load(family.inference_class)(config)


def family_of(model: Any) -> Family:
    """Return the family of an inference network.

    Raises:
        TypeError: It is none of a known family.
    """
    # The class of a mixture may derive from the dense one: the most special one counts.
    families = [family for family in FAMILIES.values() if isinstance(model, family.load(family.inference_class))]
    if not families:
        raise TypeError(f"{type(model).__name__} is no inference network of {' or '.join(FAMILIES)}")
    return families[-1]


def network_parameters(model: Any) -> dict[str, Parameter]:
    """Return the network's parameters by name; a tied parameter appears once."""
    return {parameter.name: parameter for parameter in model.get_parameters()}


@contextmanager
def _apart_from_other_builds() -> Iterator[None]:
    """Clear what stock keeps of one build and uses in the next one of the process."""
    from mindformers.parallel_core import transformer_config_utils
    from mindformers.parallel_core.inference.base_models.common.embeddings import rope_utils

    # By a key without yarn's settings: a model would get the angles of an earlier one that has others.
    angles = vars(rope_utils).get("_ROPE_DICT", {})
    for key in [key for key in angles if "yarn" in key]:
        del angles[key]
    # After one config that can't be converted, 1.8 refuses every other one for the same reason.
    errors = vars(transformer_config_utils).get("ERROR_LOG", {})
    errors.clear()
    try:
        yield
    finally:
        errors.clear()


@contextmanager
def _lazy_embeddings() -> Iterator[None]:
    """Make the embedding's parameter lazy too.

    Stock fills it with ``mint.zeros``, which ``no_init_parameters`` does not cover: twice the embedding's
    size is written for nothing, and bfloat16 has no such kernel on the CPU.
    """
    from mindformers.parallel_core.inference.tensor_parallel import layers

    stock = vars(layers).get("mint")
    if stock is None:  # nothing to replace: a release that makes its embeddings otherwise
        yield
        return
    layers.mint = _LazyZeros(stock)
    try:
        yield
    finally:
        layers.mint = stock


class _LazyZeros:
    """MindSpore's ``mint`` but for ``zeros``, which only says what shall be there."""

    def __init__(self, mint: Any) -> None:
        self._mint = mint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mint, name)

    @staticmethod
    def zeros(*size: Any, dtype: Any = None) -> Tensor:
        """Return a tensor that is filled only when it is read."""
        shape = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
        return initializer("zeros", tuple(shape), dtype or mindspore.float32)
