"""Which tensors a Qwen3 config implies, dense or a mixture of experts: the HuggingFace side alone, names and shapes.

The shapes are stated once, as names of axes, and read in both directions: from a config to the
expected shapes, and from the shapes in a file to the config that they imply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple

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

EMBEDDING = "model.embed_tokens.weight"
LM_HEAD = "lm_head.weight"

OUTER_TENSORS: Mapping[str, tuple[Axis, ...]] = {
    EMBEDDING: ("vocab_size", "hidden_size"),
    "model.norm.weight": ("hidden_size",),
    LM_HEAD: ("vocab_size", "hidden_size"),
}
"""The tensors outside the layers."""

LayerTensors = Mapping[str, tuple[Axis, ...]]
"""A layer's tensors: role to axes. A role is a name without the prefix, ``*`` in the place of an expert's number."""

_ATTENTION: LayerTensors = {
    "input_layernorm.weight": ("hidden_size",),
    "self_attn.q_proj.weight": ("query_size", "hidden_size"),
    "self_attn.k_proj.weight": ("key_value_size", "hidden_size"),
    "self_attn.v_proj.weight": ("key_value_size", "hidden_size"),
    "self_attn.o_proj.weight": ("hidden_size", "query_size"),
    "self_attn.q_norm.weight": ("head_dim",),
    "self_attn.k_norm.weight": ("head_dim",),
    "post_attention_layernorm.weight": ("hidden_size",),
}

LAYER_TENSORS: LayerTensors = MappingProxyType(
    {
        **_ATTENTION,
        "mlp.gate_proj.weight": ("intermediate_size", "hidden_size"),
        "mlp.up_proj.weight": ("intermediate_size", "hidden_size"),
        "mlp.down_proj.weight": ("hidden_size", "intermediate_size"),
    }
)
"""The tensors of each layer of a dense model, without the prefix ``model.layers.N.``."""

MOE_LAYER_TENSORS: LayerTensors = MappingProxyType(
    {
        **_ATTENTION,
        "mlp.gate.weight": ("num_experts", "hidden_size"),
        "mlp.experts.*.gate_proj.weight": ("moe_intermediate_size", "hidden_size"),
        "mlp.experts.*.up_proj.weight": ("moe_intermediate_size", "hidden_size"),
        "mlp.experts.*.down_proj.weight": ("hidden_size", "moe_intermediate_size"),
    }
)
"""The tensors of each layer of a mixture of experts; ``mlp.gate`` is the router."""

# No leading zeros and at most six digits: "model.layers.00.x" is not a name of layer 0.
_LAYER_NAME = re.compile(r"model\.layers\.(0|[1-9][0-9]{0,5})\.(.+)", re.DOTALL)
_EXPERT_ROLE = re.compile(r"mlp\.experts\.(0|[1-9][0-9]{0,5})\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelDims:
    """What of a config decides which tensors there are and how large they are."""

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

    @property
    def layer_tensors(self) -> LayerTensors:
        """The tensors of each layer; a model without experts is dense."""
        return MOE_LAYER_TENSORS if self.num_experts else LAYER_TENSORS


class TensorName(NamedTuple):
    """A tensor's name, taken apart.

    Attributes:
        layer: The layer's number, None outside the layers.
        expert: The expert's number, None for what is no expert's.
        role: The rest, with ``*`` in the place of the expert's number.
    """

    layer: int | None
    expert: int | None
    role: str


def axis_sizes(shape: ModelDims) -> dict[Axis, int]:
    """Return the length of every axis."""
    return {
        "hidden_size": shape.hidden_size,
        "vocab_size": shape.vocab_size,
        "intermediate_size": shape.intermediate_size,
        "head_dim": shape.head_dim,
        "query_size": shape.num_attention_heads * shape.head_dim,
        "key_value_size": shape.num_key_value_heads * shape.head_dim,
        "moe_intermediate_size": shape.moe_intermediate_size,
        "num_experts": shape.num_experts,
    }


def layer_tensor(layer: int, role: str) -> str:
    """Return the full name of a layer's tensor, e.g. ``model.layers.3.mlp.up_proj.weight``."""
    return f"model.layers.{layer}.{role}"


def is_expert_role(role: str) -> bool:
    """Return whether there is a tensor of this role for each expert."""
    return ".*." in role


def names_of_role(layer: int, role: str, experts: int) -> Iterator[str]:
    """Yield the full names of a layer's tensors of one role: a single one, or one for each expert."""
    if not is_expert_role(role):
        yield layer_tensor(layer, role)
        return
    for expert in range(experts):
        yield layer_tensor(layer, role.replace("*", str(expert)))


def split_layer(name: str) -> tuple[int | None, str]:
    """Split a tensor name into its layer (None outside the layers) and the rest."""
    match = _LAYER_NAME.fullmatch(name)
    return (None, name) if match is None else (int(match[1]), match[2])


@lru_cache(maxsize=1 << 17)
def parse_name(name: str) -> TensorName:
    """Take a tensor's name apart."""
    layer, role = split_layer(name)
    match = None if layer is None else _EXPERT_ROLE.fullmatch(role)
    if match is None:
        # A name that has the placeholder itself is not a role's.
        return TensorName(layer, None, role.replace("*", "?"))
    return TensorName(layer, int(match[1]), f"mlp.experts.*.{match[2]}")


def axes_of(name: str, layer_tensors: LayerTensors = LAYER_TENSORS) -> tuple[Axis, ...] | None:
    """Return the axes of a tensor that a model has, None for any other name.

    Args:
        name: The full name.
        layer_tensors: What the model's layers have; a dense Qwen3's by default.
    """
    layer, _, role = parse_name(name)
    return OUTER_TENSORS.get(role) if layer is None else layer_tensors.get(role)


def is_known(name: str) -> bool:
    """Return whether a Qwen3 of either kind has a tensor of this name."""
    return axes_of(name) is not None or axes_of(name, MOE_LAYER_TENSORS) is not None


def expected_tensors(shape: ModelDims) -> dict[str, tuple[int, ...]]:
    """Return the HuggingFace name and shape of every tensor that ``shape`` implies.

    A tied model has no ``lm_head.weight``: the embedding serves as both.
    """
    sizes = axis_sizes(shape)
    names: dict[str, tuple[Axis, ...]] = {
        name: axes for name, axes in OUTER_TENSORS.items() if not (name == LM_HEAD and shape.tie_word_embeddings)
    }
    for layer in range(shape.num_hidden_layers):
        for role, axes in shape.layer_tensors.items():
            names.update(dict.fromkeys(names_of_role(layer, role, shape.num_experts), axes))
    return {name: tuple(sizes[axis] for axis in axes) for name, axes in names.items()}
