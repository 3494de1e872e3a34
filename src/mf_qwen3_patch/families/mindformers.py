"""Which model families can be loaded: data, not code.

The map from HuggingFace to MindFormers names is not here. It is MindFormers' own ``weight_mapping``,
read from the class at run time.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Family:
    """One architecture as HuggingFace names it, and the MindFormers classes that implement it.

    Attributes:
        model_type: ``model_type`` in config.json.
        module: The MindFormers package of the family.
        inference_class: Path of the class that generates, below ``module``.
        training_class: Path of the class whose ``convert_weight_dict`` does the merging.
        config_class: Path of the configuration class.
        base_class: Path of the class that the others inherit from.
        fused: The parameters that MindFormers merges: a path element of the fused parameter to those
            of its parts, in the order in which their rows follow each other in the inference layout.
        stacked: The parameters that hold the matrices of all experts, transposed: the last path element to those of
            the parts of one expert, in the order in which their columns follow each other in the inference layout.
    """

    model_type: str
    module: str
    inference_class: str
    training_class: str
    config_class: str
    base_class: str
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stacked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def merged(self) -> set[str]:
        """The path elements of all parameters that MindFormers merges."""
        return {*self.fused, *self.stacked}

    def parts(self, element: str) -> tuple[str, ...]:
        """Return the path elements of the parts of a merged parameter, or of one expert's in a stacked one."""
        return self.stacked[element] if element in self.stacked else self.fused[element]

    def parts_of(self, parameter: str) -> tuple[str, ...]:
        """Return the path elements of a parameter's parts, in a stack of experts of each expert's.

        Args:
            parameter: Its MindFormers name; one that is not merged is its own only part.
        """
        *_, element, last = (parameter, *parameter.split("."))
        return self.stacked[last] if last in self.stacked else self.fused.get(element, (element,))

    def stacks(self, parameter: str) -> bool:
        """Return whether the MindFormers parameter of that name holds the matrices of all experts."""
        return parameter.rsplit(".", 1)[-1] in self.stacked

    def load(self, path: str) -> Any:
        """Import one of the classes by its path."""
        submodule, name = path.rsplit(".", 1)
        return getattr(importlib.import_module(f"{self.module}.{submodule}"), name)


QWEN3 = Family(
    model_type="qwen3",
    module="mindformers.models.qwen3",
    inference_class="modeling_qwen3_infer.InferenceQwen3ForCausalLM",
    training_class="modeling_qwen3_train.TrainingQwen3ForCausalLM",
    config_class="configuration_qwen3.Qwen3Config",
    base_class="utils.Qwen3PreTrainedModel",
    fused=MappingProxyType({"linear_qkv": ("linear_q", "linear_k", "linear_v"), "linear_fc1": ("gating", "hidden")}),
)

QWEN3_MOE = Family(
    model_type="qwen3_moe",
    module="mindformers.models.qwen3_moe",
    inference_class="modeling_qwen3_moe_infer.InferenceQwen3MoeForCausalLM",
    training_class="modeling_qwen3_moe_train.TrainingQwen3MoeForCausalLM",
    config_class="configuration_qwen3_moe.Qwen3MoeConfig",
    base_class="utils.Qwen3MoePreTrainedModel",
    fused=MappingProxyType({"linear_qkv": ("linear_q", "linear_k", "linear_v")}),
    stacked=MappingProxyType({"weight1": ("gating", "hidden"), "weight2": ("linear_fc2",)}),
)

FAMILIES: Mapping[str, Family] = MappingProxyType({family.model_type: family for family in (QWEN3, QWEN3_MOE)})
"""By model_type."""
