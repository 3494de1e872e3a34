"""The part of a HuggingFace tensor that a rank's parameter holds.

The numbers are those of the stock layer that owns the parameter, which it computed for its own
``weight_loader``; only the meaning of its fields is stated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
    those of the parameter, if that is not the number of the slice.
    """

    shape: Shape
    axis: int
    start: int
    length: int
    destination: int = 0
    expert: int | None = None
    slot: int | None = None

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


def slices_of(parameter: Parameter, parts: int, model: Any = None) -> tuple[Slice, ...]:
    """Return what a parameter of the stock inference network holds, one slice for each tensor that it is made of.

    ``parts`` is the number of these tensors: 3 for Q|K|V, 2 for gate|up, else 1. In a stack of all experts' matrices
    it is that of one expert, and the slices are those of one expert after the other. If this rank may hold only some
    of the experts, ``model`` knows which ones. An owner that is not one of the layers known here, or is quantized,
    is a ``PlanNotPossible``.
    """
    loader = getattr(parameter, "weight_loader", None)
    if loader is None:  # stock's default_weight_loader copies the tensor as it is
        return _one_after_the_other(parameter, parts, _whole(None, parameter))
    owner: Any = getattr(loader, "__self__", None)
    kind = type(owner)
    if kind not in _RULES and kind not in _EXPERTS:
        raise PlanNotPossible(f"{parameter.name} belongs to a {kind.__name__}, an unknown kind of layer")
    method = type(getattr(owner, "quant_method", None))
    if method not in _UNQUANTIZED and kind is not TopKRouter:
        raise PlanNotPossible(f"{parameter.name} is stored by {method.__name__}: a quantized layer")
    experts = () if model is None else _local_experts(owner, model)
    if kind not in _EXPERTS:
        if experts:
            return _router_of(owner, parameter, experts[0])
        return _one_after_the_other(parameter, parts, _RULES[kind](owner, parameter))
    if parameter.shape[0] != (len(experts) or owner.config.num_moe_experts):
        raise PlanNotPossible(_EXPERT_PARALLEL)
    slices = _EXPERTS[kind](owner, parameter, parts)
    if not experts:
        return slices
    return tuple(
        replace(piece, slot=experts[piece.expert or 0] * parts + number % parts) for number, piece in enumerate(slices)
    )


def _one_after_the_other(parameter: Parameter, parts: int, found: _Ranges) -> tuple[Slice, ...]:
    """Return the slices that follow each other in a parameter."""
    axis, ranges = found
    if len(ranges) == 1 != parts:
        raise PlanNotPossible(f"{parameter.name} should be made of {parts} tensors, but its layer takes one")
    if len(ranges) != parts or (parts > 1 and axis != 0):
        raise PlanNotPossible(f"{parameter.name} is not {parts} tensors below each other")
    slices, destination = [], 0
    for full, start, length in ranges:
        shape = list(parameter.shape)
        shape[axis] = full
        slices.append(Slice(tuple(shape), axis, start, length, destination))
        destination += length
    return tuple(slices)


def _local_experts(owner: Any, model: Any) -> tuple[int, ...]:
    """Return the numbers of this rank's experts, in its order, if it holds only some of them."""
    total = getattr(getattr(owner, "config", None), "num_moe_experts", None)
    if type(owner) not in (TopKRouter, *_EXPERTS) or not total:
        return ()
    local = {number: model.model.map_global_expert_id_to_local_expert_id(number) for number in range(total)}
    held = sorted((place, number) for number, place in local.items() if place >= 0)
    return tuple(number for _, number in held) if len(held) < total else ()


def _router_of(owner: Any, parameter: Parameter, first: int) -> tuple[Slice, ...]:
    """Return the slices of a router whose rows begin with those of this rank's experts, from ``first`` on."""
    total, shape = owner.config.num_moe_experts, tuple(parameter.shape)
    own = Slice(shape, 0, first, total - first, slot=0)
    return (own, Slice(shape, 0, 0, first, total - first, slot=0)) if first else (own,)


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


def _router(owner: Any, parameter: Parameter) -> _Ranges:
    if owner.ep_group_size > 1:
        raise PlanNotPossible(_EXPERT_PARALLEL)
    return _whole(owner, parameter)


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


def _experts_columns(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    """Gate and up of each expert, ``[ffn, hidden]`` in the file, side by side in ``[hidden, gate|up]``."""
    count, hidden, both = parameter.shape
    length = both // parts
    shape = (length * owner.tp_group.size, hidden)
    if parts != 2 or parameter.output_dim != 2 or shape[0] * parts != owner.output_size:
        raise PlanNotPossible(f"{parameter.name} is not {parts} matrices beside each other for each expert")
    return tuple(
        Slice(shape, 0, owner.tp_group.rank * length, length, part * length, expert)
        for expert in range(count)
        for part in range(parts)
    )


def _experts_rows(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    """Down of each expert, ``[hidden, ffn]`` in the file, ``[ffn, hidden]`` in the parameter."""
    count, length, hidden = parameter.shape
    if parts != 1 or parameter.input_dim != 1 or length * owner.tp_group.size != owner.input_size:
        raise PlanNotPossible(f"{parameter.name} is not one matrix for each expert")
    shape = (hidden, owner.input_size)
    return tuple(Slice(shape, 1, owner.tp_group.rank * length, length, 0, expert) for expert in range(count))


_EXPERT_PARALLEL = "expert parallelism spreads the experts over ranks"
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
    TopKRouter: _router,
}
_EXPERTS: Mapping[type, Callable[[Any, Parameter, int], tuple[Slice, ...]]] = {
    grouped_layers.ColumnParallelGroupedLinear: _experts_columns,
    grouped_layers.RowParallelGroupedLinear: _experts_rows,
}
