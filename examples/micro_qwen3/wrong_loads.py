"""The usual ways to load a Qwen3 checkpoint wrongly, done on purpose to a transformers model.

Every one of them leaves all names and shapes intact, so that nothing raises: the model just says
something else. Test data are worth something only if each of these shows in the generated tokens.
Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["wrong_loads"]


def wrong_loads(num_hidden_layers: int) -> dict[str, Callable[[Any], None]]:
    """Return every wrong load by name.

    Args:
        num_hidden_layers: The number of layers of the models it will be done to.

    Returns:
        Functions that change a ``Qwen3ForCausalLM`` (or its equal) in place.
    """
    return {
        "Q/K/V merged per group, read as contiguous": partial(_rearrange_qkv, rearrange=_per_group_as_contiguous),
        "Q/K/V merged contiguously, read per group": partial(_rearrange_qkv, rearrange=_contiguous_as_per_group),
        "K and V swapped": _swap_k_and_v,
        "gate/up interleaved, read as contiguous": partial(_rearrange_mlp, rearrange=_interleaved_as_contiguous),
        "gate/up contiguous, read as interleaved": partial(_rearrange_mlp, rearrange=_contiguous_as_interleaved),
        "gate and up swapped": partial(_rearrange_mlp, rearrange=lambda gate, up: (up, gate)),
        "rope_theta 10000": partial(_set_rope, theta=10_000.0),
        "no rope": partial(_set_rope, theta=None),
        "q_norm and k_norm ones": _ones_for_qk_norm,
        **{f"layer {i} zero": partial(_zero_layer, index=i) for i in range(num_hidden_layers)},
    }


def _attentions(model: Any) -> Iterator[Any]:
    return (layer.self_attn for layer in model.model.layers)


def _set(parameter: nn.Parameter, value: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(value.clone())


def _rearrange_qkv(model: Any, rearrange: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> None:
    for attention in _attentions(model):
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        weights = (projection.weight.detach() for projection in projections)
        wrong = rearrange(*weights, head_dim=attention.head_dim)
        for projection, weight in zip(projections, wrong, strict=True):
            _set(projection.weight, weight)


def _per_group_as_contiguous(q: Tensor, k: Tensor, v: Tensor, head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Merge as [query heads of one group, its key head, its value head], group after group; cut as Q|K|V."""
    groups = k.shape[0] // head_dim
    merged = torch.cat([part for group in zip(*(w.chunk(groups) for w in (q, k, v)), strict=True) for part in group])
    wrong_q, wrong_k, wrong_v = merged.split([q.shape[0], k.shape[0], v.shape[0]])
    return wrong_q, wrong_k, wrong_v


def _contiguous_as_per_group(q: Tensor, k: Tensor, v: Tensor, head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Merge as Q|K|V; cut as [query heads of one group, its key head, its value head], group after group."""
    groups = k.shape[0] // head_dim
    sizes = [w.shape[0] // groups for w in (q, k, v)]
    cut = [group.split(sizes) for group in torch.cat((q, k, v)).chunk(groups)]
    wrong_q, wrong_k, wrong_v = (torch.cat(parts) for parts in zip(*cut, strict=True))
    return wrong_q, wrong_k, wrong_v


def _swap_k_and_v(model: Any) -> None:
    for attention in _attentions(model):
        k, v = attention.k_proj.weight.detach().clone(), attention.v_proj.weight.detach().clone()
        _set(attention.k_proj.weight, v)
        _set(attention.v_proj.weight, k)


def _rearrange_mlp(model: Any, rearrange: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    for layer in model.model.layers:
        gate, up = layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight
        wrong_gate, wrong_up = rearrange(gate.detach().clone(), up.detach().clone())
        _set(gate, wrong_gate)
        _set(up, wrong_up)


def _interleaved_as_contiguous(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Merge row by row (gate 0, up 0, gate 1, ...); cut in two halves."""
    wrong_gate, wrong_up = torch.stack((gate, up), dim=1).flatten(0, 1).chunk(2)
    return wrong_gate, wrong_up


def _contiguous_as_interleaved(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Merge as gate|up; take the even rows for gate and the odd ones for up."""
    merged = torch.cat((gate, up))
    return merged[0::2], merged[1::2]


def _set_rope(model: Any, theta: float | None) -> None:
    """Rotate by ``theta`` instead of the config's rope_theta; by nothing at all if it is None."""
    head_dim = model.config.head_dim
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    model.model.rotary_emb.inv_freq = torch.zeros_like(exponents) if theta is None else theta**-exponents


def _ones_for_qk_norm(model: Any) -> None:
    for attention in _attentions(model):
        for norm in (attention.q_norm, attention.k_norm):
            _set(norm.weight, torch.ones_like(norm.weight))


def _zero_layer(model: Any, index: int) -> None:
    for parameter in model.model.layers[index].parameters():
        _set(parameter, torch.zeros_like(parameter))
