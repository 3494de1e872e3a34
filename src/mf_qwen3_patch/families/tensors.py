"""Names and axes of HuggingFace tensors, and the dimensions that a config gives the axes.

Shapes are stated once, as names of axes, and read in both directions: from a config to the expected shapes, and
from the shapes in a file to the config that they imply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

Axis = Literal[
    "hidden_size",
    "vocab_size",
    "intermediate_size",
    "head_dim",
    "query_size",
    "key_value_size",
    "moe_intermediate_size",
    "num_experts",
]
"""``query_size`` is num_attention_heads x head_dim, ``key_value_size`` num_key_value_heads x head_dim."""

Axes: TypeAlias = tuple[Axis, ...]
Shape: TypeAlias = tuple[int, ...]

_LAYERS = "model.layers."
_EXPERTS = "mlp.experts."
# No leading zeros and at most six digits: "model.layers.00.x" is not a name of layer 0.
_NUMBER = r"(0|[1-9][0-9]{0,5})\."
_LAYER_TENSOR = re.compile(
    rf"{re.escape(_LAYERS)}{_NUMBER}(?:{re.escape(_EXPERTS)}{_NUMBER})?(.+)", re.ASCII | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class ModelDims:
    """The dimensions of a model, by HuggingFace's names: they decide which tensors there are and how large they are."""

    hidden_size: int
    vocab_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool
    num_experts: int = 0
    moe_intermediate_size: int = 0

    def axis_sizes(self) -> dict[Axis, int]:
        """Return the length of every axis."""
        sizes = asdict(self)
        sizes["query_size"] = self.num_attention_heads * self.head_dim
        sizes["key_value_size"] = self.num_key_value_heads * self.head_dim
        return {axis: sizes[axis] for axis in get_args(Axis)}


class TensorName(NamedTuple):
    """A tensor's name, taken apart into numbers and the rest, ``*`` in it in the place of the expert's number."""

    layer: int | None
    expert: int | None
    role: str


def parse_name(name: str) -> TensorName:
    """Take a tensor's name apart."""
    # A name that has the placeholder itself is not a role's.
    name = name.replace("*", "?")
    found = _LAYER_TENSOR.fullmatch(name)
    if found is None:
        return TensorName(None, None, name)
    layer, expert, part = found.groups()
    if expert is None:
        return TensorName(int(layer), None, part)
    return TensorName(int(layer), int(expert), f"{_EXPERTS}*.{part}")


def is_expert_role(role: str) -> bool:
    """Return whether there is a tensor of this role for each expert."""
    return ".*." in role


def names_of_role(layer: int, role: str, experts: int) -> list[str]:
    """Return the full names of a layer's tensors of one role: a single one, or one for each expert."""
    name = f"{_LAYERS}{layer}.{role}"
    return [name.replace("*", str(expert)) for expert in range(experts)] if is_expert_role(role) else [name]


def shape_of(axes: Axes, sizes: Mapping[Axis, int]) -> Shape:
    """Return the shape that axes of these sizes make."""
    return tuple(sizes[axis] for axis in axes)
