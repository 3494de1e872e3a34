"""The description of a model family: everything about it that the loader, the checks and the converters read."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mf_qwen3_patch.families.config_schema import ConfigSchema
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING, Fusion, Layout
from mf_qwen3_patch.families.tensors import Axes, ModelDims, Shape, TensorName, names_of_role, parse_name, shape_of

TRAINING_STATE: Mapping[str, str] = {
    "seed": "the state of a dropout",
    "offset": "the state of a dropout",
    "expert_bias": "a statistic of a router",
    "expert_load": "a statistic of a router",
    "fi_accu": "a statistic of a router",
    "max_logits_val": "a statistic of the attention",
}
"""The parameters of a training network that no HuggingFace checkpoint holds, by the last word of their names."""


def is_training_state(parameter: str) -> bool:
    """Return whether a parameter of that name is a state of the training, which is no weight of the model."""
    return parameter.rsplit(".", 1)[-1] in TRAINING_STATE


@dataclass(frozen=True)
class FusedParameter:
    """A MindFormers parameter that is made of several HuggingFace tensors.

    ``target`` is its path element, e.g. ``linear_qkv``, and ``parts`` are those that MindFormers gives the parts, in
    the order of the inference layout. A ``stacked`` one holds the matrices of all experts, transposed: ``target`` is
    then the last element, e.g. ``weight1``, and the parts are those of one expert.
    """

    target: str
    parts: tuple[str, ...]
    blocks: str = ""  # the dimension that counts the blocks of the training layout, if it is cut into any
    stacked: bool = False

    def layout(self, layout: Layout, parts: Iterable[Shape], dims: ModelDims) -> Fusion:
        """Return how parts of these shapes, whole and (of stacked experts) of one expert, lie in the parameter."""
        if self.stacked:
            return Fusion(tuple(parts), experts=dims.num_experts, flat=layout == TRAINING)
        return Fusion(tuple(parts), getattr(dims, self.blocks) if self.blocks and layout != INFERENCE else 1)


@dataclass(frozen=True)
class Family:
    """One architecture as HuggingFace names it, and the MindFormers classes that implement it.

    The map from HuggingFace's names to MindFormers' is not part of it: that is MindFormers' own ``weight_mapping``,
    read from the class at run time. A role is the name of a layer's tensor without the layer's prefix, ``*`` in the
    place of an expert's number.
    """

    model_type: str
    architecture: str
    title: str  # in messages
    schema: ConfigSchema
    embedding: str
    head: str  # which a tied model lacks
    outer_tensors: Mapping[str, Axes]  # by name, outside the layers
    layer_tensors: Mapping[str, Axes]  # by role
    biases: frozenset[str]  # roles that ``attention_bias: true`` would add
    fused: tuple[FusedParameter, ...]
    parameter_roots: tuple[str, ...]  # the beginnings of MindFormers' names
    module: str  # MindFormers' package; the paths of the classes are below it
    inference_class: str
    training_class: str  # its ``convert_weight_dict`` does the merging
    config_class: str
    base_class: str  # the others inherit from it
    grouped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # roles that newer files store as one tensor
    router: str = ""  # the path element of the router's parameter, in a mixture of experts

    def axes_of(self, name: str | TensorName) -> Axes | None:
        """Return the axes of a HuggingFace tensor of the family, None for any other name."""
        layer, _, role = parse_name(name) if isinstance(name, str) else name
        return self.outer_tensors.get(role) if layer is None else self.layer_tensors.get(role)

    def expected_tensors(self, dims: ModelDims) -> dict[str, Shape]:
        """Return the HuggingFace name and shape of every tensor that a model of these dimensions has.

        A tied model has no head: the embedding serves as both.
        """
        sizes = dims.axis_sizes()
        names = dict(self.outer_tensors)
        if dims.tie_word_embeddings:
            del names[self.head]
        for layer in range(dims.num_hidden_layers):
            for role, axes in self.layer_tensors.items():
                names.update(dict.fromkeys(names_of_role(layer, role, dims.num_experts), axes))
        return {name: shape_of(axes, sizes) for name, axes in names.items()}

    def dims_of(self, values: Mapping[str, Any]) -> ModelDims:
        """Return the dimensions that config values give."""
        return ModelDims(**{name: values[name] for name in self.schema.dimensions})

    def fused_of(self, parameter: str) -> FusedParameter | None:
        """Return how the MindFormers parameter of that name is fused; None if it is one tensor."""
        *_, owner, last = ("", *parameter.split("."))
        return next((one for one in self.fused if one.target == (last if one.stacked else owner)), None)

    def parts_of(self, parameter: str) -> int:
        """Return of how many tensors a parameter is made; of stacked experts, how many make the matrix of one."""
        fused = self.fused_of(parameter)
        return 1 if fused is None else len(fused.parts)

    def stacks(self, parameter: str) -> bool:
        """Return whether the MindFormers parameter of that name holds the matrices of all experts."""
        fused = self.fused_of(parameter)
        return fused is not None and fused.stacked

    def load(self, path: str) -> Any:
        """Import one of the classes by its path."""
        submodule, name = path.rsplit(".", 1)
        return getattr(importlib.import_module(f"{self.module}.{submodule}"), name)
