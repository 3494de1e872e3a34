"""The description of a model family: everything about it that the loader, the checks and the converters read."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mf_qwen3_patch.families.config_schema import ConfigSchema
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING, Fusion, Layout
from mf_qwen3_patch.families.tensors import Axes, ModelDims, Shape, names_of_role, parse_name, shape_of


@dataclass(frozen=True)
class FusedParameter:
    """A MindFormers parameter that is made of several HuggingFace tensors.

    Attributes:
        target: Its path element, e.g. ``linear_qkv``; of stacked experts the last one, e.g. ``weight1``.
        parts: The path elements that MindFormers gives the parts, in the order in which their rows follow each
            other in the inference layout; of stacked experts, those of one expert.
        blocks: The dimension that counts the blocks of the training layout; empty if it is cut into none.
        stacked: Whether it holds the matrices of all experts, transposed.
    """

    target: str
    parts: tuple[str, ...]
    blocks: str = ""
    stacked: bool = False

    def layout(self, layout: Layout, parts: Iterable[Shape], dims: ModelDims) -> Fusion:
        """Return how the parts lie in the parameter.

        Args:
            layout: The layout.
            parts: The shapes of the parts, whole; of stacked experts, those of one expert.
            dims: The model's dimensions.
        """
        if self.stacked:
            return Fusion(tuple(parts), experts=dims.num_experts, flat=layout == TRAINING)
        return Fusion(tuple(parts), getattr(dims, self.blocks) if self.blocks and layout != INFERENCE else 1)


@dataclass(frozen=True)
class Family:
    """One architecture as HuggingFace names it, and the MindFormers classes that implement it.

    The map from HuggingFace's names to MindFormers' is not part of it: that is MindFormers' own ``weight_mapping``,
    read from the class at run time.

    Attributes:
        model_type: ``model_type`` in config.json.
        architecture: The name that ``architectures`` in config.json lists.
        title: The family's name in messages.
        schema: The keys of its config.
        embedding: The name of the tensor of word embeddings.
        head: The name of the language head, which a tied model lacks.
        outer_tensors: The tensors outside the layers: name to axes.
        layer_tensors: The tensors of each layer: role to axes. A role is a name without the layer's prefix, ``*``
            in the place of an expert's number.
        biases: The roles of biases that ``attention_bias: true`` would add.
        fused: The parameters that MindFormers fuses.
        router: The path element of the router's parameter; empty for a dense model.
        parameter_roots: The beginnings of MindFormers' names of the parameters.
        module: The MindFormers package of the family.
        inference_class: Path of the class that generates, below ``module``.
        training_class: Path of the class whose ``convert_weight_dict`` does the merging.
        config_class: Path of the configuration class.
        base_class: Path of the class that the others inherit from.
    """

    model_type: str
    architecture: str
    title: str
    schema: ConfigSchema
    embedding: str
    head: str
    outer_tensors: Mapping[str, Axes]
    layer_tensors: Mapping[str, Axes]
    biases: frozenset[str]
    fused: tuple[FusedParameter, ...]
    parameter_roots: tuple[str, ...]
    module: str
    inference_class: str
    training_class: str
    config_class: str
    base_class: str
    router: str = ""

    def axes_of(self, name: str) -> Axes | None:
        """Return the axes of a HuggingFace tensor of the family, None for any other name."""
        layer, _, role = parse_name(name)
        return self.outer_tensors.get(role) if layer is None else self.layer_tensors.get(role)

    def expected_tensors(self, dims: ModelDims) -> dict[str, Shape]:
        """Return the HuggingFace name and shape of every tensor that a model of these dimensions has.

        A tied model has no head: the embedding serves as both.
        """
        sizes = dims.axis_sizes()
        names = {
            name: axes
            for name, axes in self.outer_tensors.items()
            if not (name == self.head and dims.tie_word_embeddings)
        }
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

    def is_parameter_name(self, name: str) -> bool:
        """Return whether ``name`` is one that MindFormers gives a parameter, fused or not."""
        return name.removeprefix("model.").startswith(self.parameter_roots)

    def load(self, path: str) -> Any:
        """Import one of the classes by its path."""
        submodule, name = path.rsplit(".", 1)
        return getattr(importlib.import_module(f"{self.module}.{submodule}"), name)
