"""The dimensions that the weights themselves show: every tensor votes for the axes of its shape."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.tensors import Axis, ModelDims, TensorName, parse_name


@dataclass(frozen=True, slots=True)
class Witness:
    """A tensor that shows the length of an axis.

    Attributes:
        tensor: The tensor.
        axis: Which of its axes, counted from 0.
        value: The length.
    """

    tensor: TensorInfo
    axis: int
    value: int


@dataclass(frozen=True)
class Evidence:
    """The lengths that most tensors agree on, and the layers that there are.

    Attributes:
        axes: By axis; an axis that no tensor shows is absent.
        layers: Numbers of the layers that have at least one tensor.
        experts: Numbers of the experts that have at least one tensor in some layer.
    """

    axes: Mapping[Axis, Witness]
    layers: frozenset[int]
    experts: frozenset[int] = frozenset()

    @property
    def num_hidden_layers(self) -> int:
        """The number of layers that the tensors' names imply; 0 if there are none."""
        return max(self.layers, default=-1) + 1

    def dims(self, config: ModelDims) -> ModelDims:
        """Return ``config`` corrected by what the weights show."""
        sizes = self.sizes(config)
        head_dim = sizes["head_dim"]
        heads, groups = sizes["query_size"] // head_dim, sizes["key_value_size"] // head_dim
        return replace(
            config,
            hidden_size=sizes["hidden_size"],
            vocab_size=sizes["vocab_size"],
            intermediate_size=sizes["intermediate_size"],
            head_dim=head_dim,
            num_attention_heads=max(heads, 1),
            num_key_value_heads=max(groups, 1),
            num_hidden_layers=self.num_hidden_layers or config.num_hidden_layers,
            num_experts=sizes["num_experts"],
            moe_intermediate_size=sizes["moe_intermediate_size"],
        )

    def sizes(self, config: ModelDims) -> dict[Axis, int]:
        """Return the length of every axis: the weights' where they show it, else the config's."""
        sizes = config.axis_sizes()
        sizes.update({axis: witness.value for axis, witness in self.axes.items()})
        return sizes


def gather_evidence(
    tensors: Mapping[str, TensorInfo], config: ModelDims, family: Family, lost: frozenset[str]
) -> Evidence:
    """Let the tensors vote.

    Args:
        tensors: What the headers list.
        config: What the config says; decides between values with equally many votes.
        family: The model family.
        lost: Names of tensors in missing files; they can't vote, but show which layers there are.
    """
    votes: defaultdict[Axis, Counter[int]] = defaultdict(Counter)
    witnesses: dict[tuple[Axis, int], Witness] = {}
    layers: set[int] = set()
    experts: set[int] = set()
    for name, (layer, expert, role) in _in_order(tensors, lost, family):
        axes = family.outer_tensors.get(role) if layer is None else family.layer_tensors.get(role)
        if axes is None:
            continue
        if layer is not None:
            layers.add(layer)
        if expert is not None:
            experts.add(expert)
        info = tensors.get(name)
        if info is None or len(info.shape) != len(axes):
            continue
        for number, (axis, value) in enumerate(zip(axes, info.shape, strict=True)):
            if value < 1:
                continue
            votes[axis][value] += 1
            if (axis, value) not in witnesses:
                witnesses[axis, value] = Witness(info, number, value)
    expected = config.axis_sizes()
    winners: dict[Axis, Witness] = {}
    for axis, counter in votes.items():
        most = max(counter.values())
        tied = [value for value, count in counter.items() if count == most]
        winners[axis] = witnesses[axis, expected[axis] if expected[axis] in tied else tied[0]]
    return Evidence(winners, frozenset(layers), frozenset(experts))


def _in_order(
    tensors: Mapping[str, TensorInfo], lost: frozenset[str], family: Family
) -> Iterator[tuple[str, TensorName]]:
    """Yield the most telling witness first: the embedding, q_proj before o_proj, low layers before high."""
    ranks = {role: number for number, role in enumerate((*family.outer_tensors, *family.layer_tensors))}

    def order(pair: tuple[str, TensorName]) -> tuple[int, int, int]:
        layer, expert, role = pair[1]
        return ranks.get(role, len(ranks)), layer or 0, expert or 0

    yield from sorted(((name, parse_name(name)) for name in tensors), key=order)
    yield from ((name, parse_name(name)) for name in lost)
