"""The ways to load the experts of a Qwen3 mixture wrongly, done on purpose to a transformers model.

As those of ``examples/micro_qwen3/wrong_loads.py`` they leave all names and shapes intact. Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

__all__ = ["wrong_experts"]


def wrong_experts() -> dict[str, Callable[[Any], None]]:
    """Return every wrong load by name: functions that change a ``Qwen3MoeForCausalLM`` in place."""
    return {
        "gate and up of every expert swapped": _swap_gate_and_up,
        "every expert's gate and up in the next one's place": partial(_roll, names=("gate_proj", "up_proj")),
        "every expert's down in the next one's place": partial(_roll, names=("down_proj",)),
        "the router's rows in the next one's place": _roll_router,
        "down read without being transposed": _reshape_down,
        "norm_topk_prob the other way": _other_norm,
        "the last expert zero": _zero_last,
    }


def _mixtures(model: Any) -> Iterator[Any]:
    return (layer.mlp for layer in model.model.layers)


@torch.no_grad()
def _swap_gate_and_up(model: Any) -> None:
    for mixture in _mixtures(model):
        for expert in mixture.experts:
            expert.gate_proj.weight, expert.up_proj.weight = expert.up_proj.weight, expert.gate_proj.weight


@torch.no_grad()
def _roll(model: Any, names: tuple[str, ...]) -> None:
    for mixture in _mixtures(model):
        for name in names:
            weights = [getattr(expert, name).weight for expert in mixture.experts]
            for expert, weight in zip(mixture.experts, weights[-1:] + weights[:-1], strict=True):
                getattr(expert, name).weight = weight


@torch.no_grad()
def _roll_router(model: Any) -> None:
    for mixture in _mixtures(model):
        mixture.gate.weight.copy_(mixture.gate.weight.roll(1, dims=0))


@torch.no_grad()
def _reshape_down(model: Any) -> None:
    for mixture in _mixtures(model):
        for expert in mixture.experts:
            weight = expert.down_proj.weight
            weight.copy_(weight.reshape(weight.shape[::-1]).T.clone())


def _other_norm(model: Any) -> None:
    for mixture in _mixtures(model):
        mixture.norm_topk_prob = not mixture.norm_topk_prob


@torch.no_grad()
def _zero_last(model: Any) -> None:
    for mixture in _mixtures(model):
        for parameter in mixture.experts[-1].parameters():
            parameter.zero_()
