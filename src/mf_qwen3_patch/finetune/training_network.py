"""The network that MindFormers trains: its family, config, layouts, and the parameters that a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mindspore import Parameter, nn

from mf_qwen3_patch.checkpoint.checks.unsupported import is_of_an_adapter
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.families.family import Family, is_training_state
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING
from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.loading.config_argument import fields_of
from mf_qwen3_patch.loading.runtime.network import network_parameters


@dataclass(frozen=True)
class TrainingNetwork:
    """A Qwen3 network as MindFormers trains it."""

    model: Any
    family: Family

    @classmethod
    def find(cls, network: object) -> TrainingNetwork | None:
        """Find it in what the trainer has wrapped around it; None if there is no such network."""
        if not isinstance(network, nn.Cell):
            return None
        for family in reversed(list(FAMILIES.values())):
            training_class = family.load(family.training_class)
            for _, cell in network.cells_and_names():
                if isinstance(cell, training_class):
                    return cls(cell, family)
        return None

    @property
    def config(self) -> dict[str, Any]:
        """The config that the network was built from, the YAML included, by HuggingFace's names."""
        return fields_of(self.model.config, self.family)

    @property
    def layouts(self) -> Layouts:
        """The layouts that the network's own switches ask for; experts have only one."""
        switches = self.model.get_gpt_transformer_config()
        attention = INFERENCE if switches.use_contiguous_weight_layout_attention else TRAINING
        mlp = TRAINING if self.family.router or switches.use_interleaved_weight_layout_mlp else INFERENCE
        return Layouts(linear_qkv=attention, linear_fc1=mlp, experts=mlp)

    @property
    def dtype(self) -> str:
        """The dtype of the parameters, e.g. ``float32``."""
        return str(self.model.get_gpt_transformer_config().params_dtype).lower()

    def parameters(self) -> dict[str, Parameter]:
        """Return the parameters that a checkpoint holds, by name; the adapters of a LoRA start anew."""
        return {
            name: parameter
            for name, parameter in network_parameters(self.model).items()
            if not is_training_state(name) and not is_of_an_adapter(name)
        }
