"""Which tensors a Qwen3 config implies: the HuggingFace side alone, names and shapes.

The shapes are stated once, as names of axes, and read in both directions: from a config to the
expected shapes, and from the shapes in a file to the config that they imply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "EMBEDDING",
    "LAYER_TENSORS",
    "LM_HEAD",
    "OUTER_TENSORS",
    "Axis",
    "Qwen3Shape",
    "axes_of",
    "axis_sizes",
    "expected_tensors",
    "layer_tensor",
    "split_layer",
]

Axis = Literal["hidden_size", "vocab_size", "intermediate_size", "head_dim", "query_size", "key_value_size"]
"""``query_size`` is num_attention_heads x head_dim, ``key_value_size`` num_key_value_heads x head_dim."""

EMBEDDING = "model.embed_tokens.weight"
LM_HEAD = "lm_head.weight"

OUTER_TENSORS: Mapping[str, tuple[Axis, ...]] = {
    EMBEDDING: ("vocab_size", "hidden_size"),
    "model.norm.weight": ("hidden_size",),
    LM_HEAD: ("vocab_size", "hidden_size"),
}
"""The tensors outside the layers."""

LAYER_TENSORS: Mapping[str, tuple[Axis, ...]] = {
    "input_layernorm.weight": ("hidden_size",),
    "self_attn.q_proj.weight": ("query_size", "hidden_size"),
    "self_attn.k_proj.weight": ("key_value_size", "hidden_size"),
    "self_attn.v_proj.weight": ("key_value_size", "hidden_size"),
    "self_attn.o_proj.weight": ("hidden_size", "query_size"),
    "self_attn.q_norm.weight": ("head_dim",),
    "self_attn.k_norm.weight": ("head_dim",),
    "post_attention_layernorm.weight": ("hidden_size",),
    "mlp.gate_proj.weight": ("intermediate_size", "hidden_size"),
    "mlp.up_proj.weight": ("intermediate_size", "hidden_size"),
    "mlp.down_proj.weight": ("hidden_size", "intermediate_size"),
}
"""The tensors of each layer, without the prefix ``model.layers.N.``."""

# No leading zeros and at most six digits: "model.layers.00.x" is not a name of layer 0.
_LAYER_NAME = re.compile(r"model\.layers\.(0|[1-9][0-9]{0,5})\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Qwen3Shape:
    """What of a config decides which tensors there are and how large they are."""

    hidden_size: int
    vocab_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool


def axis_sizes(shape: Qwen3Shape) -> dict[Axis, int]:
    """Return the length of every axis."""
    return {
        "hidden_size": shape.hidden_size,
        "vocab_size": shape.vocab_size,
        "intermediate_size": shape.intermediate_size,
        "head_dim": shape.head_dim,
        "query_size": shape.num_attention_heads * shape.head_dim,
        "key_value_size": shape.num_key_value_heads * shape.head_dim,
    }


def layer_tensor(layer: int, role: str) -> str:
    """Return the full name of a layer's tensor, e.g. ``model.layers.3.mlp.up_proj.weight``."""
    return f"model.layers.{layer}.{role}"


def split_layer(name: str) -> tuple[int | None, str]:
    """Split a tensor name into its layer (None outside the layers) and the rest."""
    match = _LAYER_NAME.fullmatch(name)
    return (None, name) if match is None else (int(match[1]), match[2])


def axes_of(name: str) -> tuple[Axis, ...] | None:
    """Return the axes of a tensor that Qwen3 has, None for any other name."""
    layer, role = split_layer(name)
    return OUTER_TENSORS.get(role) if layer is None else LAYER_TENSORS.get(role)


def expected_tensors(shape: Qwen3Shape) -> dict[str, tuple[int, ...]]:
    """Return the HuggingFace name and shape of every tensor that ``shape`` implies.

    A tied model has no ``lm_head.weight``: the embedding serves as both.
    """
    sizes = axis_sizes(shape)
    names: dict[str, tuple[Axis, ...]] = {
        name: axes for name, axes in OUTER_TENSORS.items() if not (name == LM_HEAD and shape.tie_word_embeddings)
    }
    for layer in range(shape.num_hidden_layers):
        names.update({layer_tensor(layer, role): axes for role, axes in LAYER_TENSORS.items()})
    return {name: tuple(sizes[axis] for axis in axes) for name, axes in names.items()}
