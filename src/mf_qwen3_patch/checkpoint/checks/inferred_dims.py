"""The dimensions that the weights themselves show: every tensor votes for the axes of its shape."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mf_qwen3_patch.checkpoint.config.normalize import NormalizedConfig
from mf_qwen3_patch.checkpoint.config.overrides import Overridden
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.tensors import Axes, Axis, ModelDims, Shape


@dataclass(frozen=True, slots=True)
class Witness:
    """A tensor that shows the length of an axis."""

    tensor: TensorInfo
    axis: int  # its number among the tensor's axes, from 0
    value: int  # the length


@dataclass(frozen=True)
class Comparison:
    """A checkpoint beside the config that it is to be loaded with, and the dimensions that most tensors agree on."""

    checkpoint: Checkpoint
    overridden: Overridden
    axes: Mapping[Axis, Witness]  # an axis that no tensor shows is absent
    layers: frozenset[int]  # that have at least one tensor
    experts: frozenset[int]  # that have at least one tensor in some layer

    @property
    def config(self) -> NormalizedConfig:
        """The config, the overrides applied."""
        return self.overridden.config

    @property
    def num_hidden_layers(self) -> int:
        """The number of layers that the tensors' names imply; 0 if there are none."""
        return max(self.layers, default=-1) + 1

    @cached_property
    def sizes(self) -> dict[Axis, int]:
        """The length of every axis: the weights' where they show it, else the config's."""
        return {**self.config.dims.axis_sizes(), **{axis: witness.value for axis, witness in self.axes.items()}}

    @cached_property
    def dims(self) -> ModelDims:
        """The config's dimensions, corrected by what the weights show."""
        sizes: dict[str, Any] = dict(self.sizes.items())
        head_dim, query, key_value = sizes["head_dim"], sizes.pop("query_size"), sizes.pop("key_value_size")
        return replace(
            self.config.dims,
            num_attention_heads=max(query // head_dim, 1),
            num_key_value_heads=max(key_value // head_dim, 1),
            num_hidden_layers=self.num_hidden_layers or self.config.dims.num_hidden_layers,
            **sizes,
        )

    def axes_of(self, name: str, sizes: Mapping[Axis, int]) -> Axes | None:
        """Return the axes of a tensor that a model of these sizes has; it has none of an expert beyond the last."""
        parsed = self.checkpoint.names[name]
        expert = parsed.expert
        return self.config.family.axes_of(parsed) if expert is None or expert < sizes["num_experts"] else None


def compare(checkpoint: Checkpoint, overridden: Overridden) -> Comparison:
    """Let the tensors vote; the config decides between values with equally many votes.

    Tensors in missing files can't vote, but their names show which layers there are.
    """
    votes: defaultdict[Axis, Counter[int]] = defaultdict(Counter)
    witnesses: dict[tuple[Axis, int], Witness] = {}
    layers: set[int] = set()
    experts: set[int] = set()
    family, expected = overridden.config.family, overridden.config.dims.axis_sizes()
    for parsed in checkpoint.names.values():
        if family.axes_of(parsed) is None:
            continue
        if parsed.layer is not None:
            layers.add(parsed.layer)
        if parsed.expert is not None:
            experts.add(parsed.expert)
    for info, axes, count in _alike(checkpoint, family):
        for number, (axis, value) in enumerate(zip(axes, info.shape, strict=True)):
            if value < 1:
                continue
            votes[axis][value] += count
            if (axis, value) not in witnesses:
                witnesses[axis, value] = Witness(info, number, value)
    winners = {
        axis: witnesses[axis, max(counter, key=lambda value: (counter[value], value == expected[axis]))]
        for axis, counter in votes.items()
    }
    return Comparison(checkpoint, overridden, winners, frozenset(layers), frozenset(experts))


def _alike(checkpoint: Checkpoint, family: Family) -> list[tuple[TensorInfo, Axes, int]]:
    """Return the first of the tensors that have the same role and shape, its axes, and how many they are.

    The most telling witness comes first: the embedding, q_proj before o_proj, low layers before high.
    """
    first: dict[tuple[str, Shape], tuple[tuple[int, int], TensorInfo, Axes]] = {}
    counts: Counter[tuple[str, Shape]] = Counter()
    for name, info in checkpoint.tensors.items():
        parsed = checkpoint.names[name]
        axes = family.axes_of(parsed)
        if axes is None or len(info.shape) != len(axes):
            continue
        place, kind = (parsed.layer or 0, parsed.expert or 0), (parsed.role, info.shape)
        counts[kind] += 1
        if kind not in first or place < first[kind][0]:
            first[kind] = place, info, axes
    ranks = {role: number for number, role in enumerate((*family.outer_tensors, *family.layer_tensors))}
    order = sorted(first, key=lambda kind: (ranks[kind[0]], first[kind][0]))
    return [(*first[kind][1:], counts[kind]) for kind in order]
