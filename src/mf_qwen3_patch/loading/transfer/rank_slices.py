"""The part of a HuggingFace tensor that a rank's parameter holds.

The numbers are those of the stock layer that owns the parameter, which it computed for its own
``weight_loader``; only the meaning of its fields is stated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from mindformers.parallel_core.inference.tensor_parallel import grouped_layers, layers
from mindformers.parallel_core.inference.transformer.moe.router import TopKRouter
from mindspore import Parameter

from mf_qwen3_patch.errors import Qwen3PatchError
from mf_qwen3_patch.families.layout import Placement, StridedCopy, strided_copies
from mf_qwen3_patch.families.tensors import Shape


class PlanNotPossible(Qwen3PatchError, NotImplementedError):
    """The fast loader does not know this model; nothing was touched, and stock's own loader may be used."""


@dataclass(frozen=True)
class Slice:
    """A range along one axis of a HuggingFace tensor, and where it goes in the parameter.

    ``shape`` is the whole tensor's, all ranks together; ``axis`` is cut and, in a fused parameter, concatenated. In a
    parameter that stacks matrices of this rank's experts, ``expert`` is the matrix's number; they are transposed
    there, so that ``axis`` and ``destination`` refer to the transposed matrix. ``slot`` is the tensor's number among
    those of the whole parameter: part by part, of stacked experts one expert of the model after the other.
    """

    shape: Shape
    axis: int
    start: int
    length: int
    destination: int = 0
    expert: int | None = None
    slot: int = 0

    def copies_from(self, source: Placement, parameter: Shape) -> list[StridedCopy]:
        """Return the copies from the whole tensor's matrix into the parameter, whose shape is this rank's."""
        if len(self.shape) == 1:
            start = source.offset + self.start * source.row_stride
            return [StridedCopy(1, self.length, start, self.length, self.destination, (self.length, 1))]
        rows, columns = self.shape[0], prod(self.shape[1:])
        first_row, first_column = (self.start, 0) if self.axis == 0 else (0, self.start)
        rows, columns = (self.length, columns) if self.axis == 0 else (rows, self.length)
        if self.expert is None:
            width = prod(parameter[1:])
            target = Placement(self.destination * (width if self.axis == 0 else 1), width)
        else:
            width = parameter[2]
            inside = self.destination * (1 if self.axis == 0 else width)
            target = Placement(self.expert * parameter[1] * width + inside, 1, width)
        return list(strided_copies(source, target, rows, columns, first_row=first_row, first_column=first_column))


_Ranges: TypeAlias = tuple[int, list[tuple[int, int, int]]]
"""An axis and, for each tensor, its whole length, the start of this rank's range, and the length of the range."""


def slices_of(parameter: Parameter, parts: int, experts: Sequence[int]) -> tuple[Slice, ...]:
    """Return what a parameter of the stock inference network holds: slices of the tensors that it is made of.

    ``parts`` is the number of these tensors: 3 for Q|K|V, 2 for gate|up, else 1. In a stack of experts' matrices it is
    that of one expert, and the slices are those of one expert after the other; ``experts`` are the numbers of those
    that this rank holds, in its order. An owner that is not one of the layers known here, or is quantized, is a
    ``PlanNotPossible``.
    """
    loader = getattr(parameter, "weight_loader", None)
    if loader is None:  # stock's default_weight_loader copies the tensor as it is
        return _one_after_the_other(parameter, parts, _whole(None, parameter))
    owner: Any = getattr(loader, "__self__", None)
    kind = type(owner)
    if kind not in _RULES and kind not in _EXPERTS and kind is not TopKRouter:
        raise PlanNotPossible(f"{parameter.name} belongs to a {kind.__name__}, an unknown kind of layer")
    method = type(getattr(owner, "quant_method", None))
    if method not in _UNQUANTIZED and kind is not TopKRouter:
        raise PlanNotPossible(f"{parameter.name} is stored by {method.__name__}: a quantized layer")
    if kind is TopKRouter:
        return _router(owner, parameter)
    if kind not in _EXPERTS:
        return _one_after_the_other(parameter, parts, _RULES[kind](owner, parameter))
    if parameter.shape[0] != len(experts):
        held = f"{parameter.shape[0]} experts, where this rank should hold {len(experts)}"
        raise PlanNotPossible(f"{parameter.name} holds {held}")
    return _EXPERTS[kind](owner, parameter, parts, experts)


def _one_after_the_other(parameter: Parameter, parts: int, found: _Ranges) -> tuple[Slice, ...]:
    """Return the slices that follow each other in a parameter."""
    axis, ranges = found
    if len(ranges) == 1 != parts:
        raise PlanNotPossible(f"{parameter.name} should be made of {parts} tensors, but its layer takes one")
    if len(ranges) != parts or (parts > 1 and axis != 0):
        raise PlanNotPossible(f"{parameter.name} is not {parts} tensors below each other")
    slices, destination = [], 0
    for slot, (full, start, length) in enumerate(ranges):
        shape = list(parameter.shape)
        shape[axis] = full
        slices.append(Slice(tuple(shape), axis, start, length, destination, slot=slot))
        destination += length
    return tuple(slices)


def _router(owner: Any, parameter: Parameter) -> tuple[Slice, ...]:
    """Return the slices of a router, which every rank holds whole.

    Its rows are in the order of the experts or, where expert-parallel ranks do not exchange their tokens, begin with
    those of the rank's own experts and go on with the others', in a circle.
    """
    total, shape = int(parameter.shape[0]), tuple(parameter.shape)
    rotated = owner.ep_group_size > 1 and not owner.config.use_alltoall
    first = total // owner.ep_group_size * owner.ep_rank if rotated else 0
    own = Slice(shape, 0, first, total - first)
    return (own, Slice(shape, 0, 0, first, total - first)) if first else (own,)


def _whole(owner: Any, parameter: Parameter) -> _Ranges:
    return 0, [(parameter.shape[0], 0, parameter.shape[0])]


def _column(owner: Any, parameter: Parameter) -> _Ranges:
    length = owner.output_size_per_partition
    return parameter.output_dim, [(owner.output_size, owner.tp_group.rank * length, length)]


def _row(owner: Any, parameter: Parameter) -> _Ranges:
    axis = getattr(parameter, "input_dim", None)
    if axis is None:  # a bias, whole on every rank
        return _whole(owner, parameter)
    length = owner.input_size_per_partition
    return axis, [(owner.input_size, owner.tp_group.rank * length, length)]


def _vocabulary(owner: Any, parameter: Parameter) -> _Ranges:
    return parameter.output_dim, [(owner.num_embeddings, owner.vocab_start_index, owner.num_embeddings_per_partition)]


def _merged_columns(owner: Any, parameter: Parameter) -> _Ranges:
    sizes = zip(owner.output_sizes, owner.output_partition_sizes, strict=True)
    return parameter.output_dim, [(full, owner.tp_group.rank * length, length) for full, length in sizes]


def _query_key_value(owner: Any, parameter: Parameter) -> _Ranges:
    queries, keys = owner.num_heads * owner.head_size, owner.num_kv_heads * owner.head_size
    all_queries, all_keys = owner.total_num_heads * owner.head_size, owner.total_num_kv_heads * owner.head_size
    rank = owner.tp_group.rank
    # Fewer key/value heads than ranks: several ranks hold the same head.
    key_range = all_keys, rank // owner.num_kv_head_replicas * keys, keys
    return parameter.output_dim, [(all_queries, rank * queries, queries), key_range, key_range]


def _experts_columns(owner: Any, parameter: Parameter, parts: int, experts: Sequence[int]) -> tuple[Slice, ...]:
    """Gate and up of each expert, ``[ffn, hidden]`` in the file, side by side in ``[hidden, gate|up]``."""
    _, hidden, both = parameter.shape
    length = both // parts
    shape = (length * owner.tp_group.size, hidden)
    if parts != 2 or parameter.output_dim != 2 or shape[0] * parts != owner.output_size:
        raise PlanNotPossible(f"{parameter.name} is not {parts} matrices beside each other for each expert")
    start = owner.tp_group.rank * length
    return tuple(
        Slice(shape, 0, start, length, part * length, place, expert * parts + part)
        for place, expert in enumerate(experts)
        for part in range(parts)
    )


def _experts_rows(owner: Any, parameter: Parameter, parts: int, experts: Sequence[int]) -> tuple[Slice, ...]:
    """Down of each expert, ``[hidden, ffn]`` in the file, ``[ffn, hidden]`` in the parameter."""
    _, length, hidden = parameter.shape
    if parts != 1 or parameter.input_dim != 1 or length * owner.tp_group.size != owner.input_size:
        raise PlanNotPossible(f"{parameter.name} is not one matrix for each expert")
    shape, start = (hidden, owner.input_size), owner.tp_group.rank * length
    return tuple(Slice(shape, 1, start, length, 0, place, expert) for place, expert in enumerate(experts))


_UNQUANTIZED = (
    layers.UnquantizedLinearMethod,
    layers.UnquantizedEmbeddingMethod,
    grouped_layers.UnquantizedGroupedLinearMethod,
)

# Exact types: a subclass may mean anything by the same fields.
_RULES: Mapping[type, Callable[[Any, Parameter], _Ranges]] = {
    layers.ColumnParallelLinear: _column,
    layers.RowParallelLinear: _row,
    layers.ReplicatedLinear: _whole,
    layers.VocabParallelEmbedding: _vocabulary,
    layers.MergedColumnParallelLinear: _merged_columns,
    layers.QKVParallelLinear: _query_key_value,
}
_EXPERTS: Mapping[type, Callable[[Any, Parameter, int, Sequence[int]], tuple[Slice, ...]]] = {
    grouped_layers.ColumnParallelGroupedLinear: _experts_columns,
    grouped_layers.RowParallelGroupedLinear: _experts_rows,
}
