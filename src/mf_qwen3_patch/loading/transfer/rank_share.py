"""The layers and experts that a rank holds: pipeline stages share out the layers, expert-parallel ranks the experts."""

from __future__ import annotations

import re
from typing import Any

from mindformers.parallel_core.inference.parallel_state import get_pipeline_model_parallel_world_size

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.name_mapping import Place, place_of

_LAYER = re.compile(r"(?<=\blayers\.)\d+")


class RankShare:
    """The share of the model that a network of MindFormers was built for.

    Attributes:
        parameters: The network's parameters by name.
        experts: The numbers of the experts that it holds, in its order; none in a dense model.
    """

    def __init__(self, model: Any, family: Family) -> None:
        """Ask the network, which MindFormers has built for the rank of this process."""
        config = model.model.config
        place_of_expert = model.model.map_global_expert_id_to_local_expert_id  # -1 for one of another rank
        places = {place_of_expert(number): number for number in range(config.num_moe_experts or 0)}
        self.experts = tuple(number for place, number in sorted(places.items()) if place >= 0)
        self._other_experts = frozenset(range(config.num_moe_experts or 0)) - frozenset(self.experts)
        self._all_layers: int = config.num_layers
        self.parameters = network_parameters(model)
        self._roles = {_LAYER.sub("*", name) for name in self.parameters}
        outer = set(family.outer_tensors) - ({family.head} if model.config.tie_word_embeddings else set())
        self._outer = {place_of(type(model), name, family).parameter for name in outer}
        self._staged = get_pipeline_model_parallel_world_size() > 1

    def is_elsewhere(self, place: Place) -> bool:
        """Return whether a tensor that becomes a part of that parameter is one of other ranks, and not of this one."""
        if place.expert in self._other_experts:
            return True
        if not self._staged or place.parameter in self.parameters:
            return False
        layer = layer_of(place.parameter)
        if layer < 0:
            return place.parameter in self._outer
        return layer < self._all_layers and _LAYER.sub("*", place.parameter) in self._roles


def layer_of(parameter: str) -> int:
    """Return the number of a parameter's layer, -1 outside the layers."""
    found = _LAYER.search(parameter)
    return int(found[0]) if found else -1
