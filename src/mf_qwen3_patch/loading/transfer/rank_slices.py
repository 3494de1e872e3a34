"""The part of a HuggingFace tensor that a rank's parameter holds.

The numbers are those of the stock layer that owns the parameter, which it computed for its own
``weight_loader``; only the meaning of its fields is stated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from types import MappingProxyType
from typing import Any

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


def slices_of(parameter: Parameter, parts: int, model: Any = None) -> tuple[Slice, ...]:
    """Return what a parameter of the stock inference network holds, one slice for each tensor that it is made of.

    ``parts`` is the number of these tensors: 3 for Q|K|V, 2 for gate|up, else 1. In a stack of all experts' matrices
    it is that of one expert, and the slices are those of one expert after the other. If this rank may hold only some
    of the experts, ``model`` knows which ones.

    Raises:
        PlanNotPossible: Its owner is not one of the layers known here, or is quantized.
    """
    loader = getattr(parameter, "weight_loader", None)
    if loader is None:  # stock's default_weight_loader copies the tensor as it is
        return _single(parts, _whole(parameter), parameter)
    owner = getattr(loader, "__self__", None)
    rule = _RULES.get(type(owner))
    if owner is None or rule is None:
        raise PlanNotPossible(f"{parameter.name} belongs to a {type(owner).__name__}, an unknown kind of layer")
    method = type(getattr(owner, "quant_method", None))
    if method not in _UNQUANTIZED and type(owner) not in _NEVER_QUANTIZED:
        raise PlanNotPossible(f"{parameter.name} is stored by {method.__name__}: a quantized layer")
    if model is not None and (experts := _local_experts(owner, model)):
        return _of_local_experts(rule, owner, parameter, parts, experts)
    return rule(owner, parameter, parts)


def _local_experts(owner: Any, model: Any) -> tuple[int, ...]:
    """Return the numbers of this rank's experts, in its order, if it holds only some of them."""
    config = getattr(owner, "config", None)
    total = getattr(config, "num_moe_experts", None)
    if type(owner) not in _OF_EXPERTS or not total:
        return ()
    local = {number: model.model.map_global_expert_id_to_local_expert_id(number) for number in range(total)}
    held = sorted((place, number) for number, place in local.items() if place >= 0)
    return tuple(number for _, number in held) if len(held) < total else ()


def _of_local_experts(
    rule: Callable[..., tuple[Slice, ...]], owner: Any, parameter: Parameter, parts: int, experts: tuple[int, ...]
) -> tuple[Slice, ...]:
    """Return the slices of a rank that holds only some of the experts; the router's rows begin with theirs."""
    if type(owner) is TopKRouter:
        total, first = owner.config.num_moe_experts, experts[0]
        shape = tuple(parameter.shape)
        own = Slice(shape, 0, first, total - first, slot=0)
        return (own, Slice(shape, 0, 0, first, total - first, slot=0)) if first else (own,)
    slices = rule(owner, parameter, parts, experts=len(experts))
    return tuple(
        replace(piece, slot=experts[piece.expert or 0] * parts + number % parts) for number, piece in enumerate(slices)
    )


def _whole(parameter: Parameter) -> Slice:
    shape = tuple(parameter.shape)
    return Slice(shape, axis=0, start=0, length=shape[0])


def _cut(parameter: Parameter, axis: int, full: int, start: int, length: int, destination: int = 0) -> Slice:
    shape = list(parameter.shape)
    shape[axis] = full
    return Slice(tuple(shape), axis, start, length, destination)


def _single(parts: int, piece: Slice, parameter: Parameter) -> tuple[Slice, ...]:
    if parts != 1:
        raise PlanNotPossible(f"{parameter.name} should be made of {parts} tensors, but its layer takes one")
    return (piece,)


def _column(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    length = owner.output_size_per_partition
    piece = _cut(parameter, parameter.output_dim, owner.output_size, owner.tp_group.rank * length, length)
    return _single(parts, piece, parameter)


def _row(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    axis = getattr(parameter, "input_dim", None)
    if axis is None:  # a bias, whole on every rank
        return _single(parts, _whole(parameter), parameter)
    length = owner.input_size_per_partition
    piece = _cut(parameter, axis, owner.input_size, owner.tp_group.rank * length, length)
    return _single(parts, piece, parameter)


def _replicated(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    return _single(parts, _whole(parameter), parameter)


def _vocabulary(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    start, length = owner.vocab_start_index, owner.num_embeddings_per_partition
    piece = _cut(parameter, parameter.output_dim, owner.num_embeddings, start, length)
    return _single(parts, piece, parameter)


def _merged_columns(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    lengths = owner.output_partition_sizes
    if parts != len(lengths) or parameter.output_dim != 0:
        raise PlanNotPossible(f"{parameter.name} is not {parts} tensors below each other")
    return tuple(
        _cut(parameter, 0, full, owner.tp_group.rank * length, length, destination)
        for full, length, destination in zip(owner.output_sizes, lengths, accumulate(lengths, initial=0), strict=False)
    )


def _query_key_value(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    if parts != 3 or parameter.output_dim != 0:
        raise PlanNotPossible(f"{parameter.name} is not {parts} tensors below each other")
    queries = owner.num_heads * owner.head_size
    keys = owner.num_kv_heads * owner.head_size
    rank = owner.tp_group.rank
    # Fewer key/value heads than ranks: several ranks hold the same head.
    group = rank // owner.num_kv_head_replicas
    all_queries, all_keys = owner.total_num_heads * owner.head_size, owner.total_num_kv_heads * owner.head_size
    return (
        _cut(parameter, 0, all_queries, rank * queries, queries),
        _cut(parameter, 0, all_keys, group * keys, keys, queries),
        _cut(parameter, 0, all_keys, group * keys, keys, queries + keys),
    )


def _router(owner: Any, parameter: Parameter, parts: int) -> tuple[Slice, ...]:
    if owner.ep_group_size > 1:
        raise PlanNotPossible(_EXPERT_PARALLEL)
    return _single(parts, _whole(parameter), parameter)


def _experts_columns(owner: Any, parameter: Parameter, parts: int, experts: int | None = None) -> tuple[Slice, ...]:
    """Gate and up of each expert, ``[ffn, hidden]`` in the file, side by side in ``[hidden, gate|up]``."""
    _refuse_expert_parallelism(parameter, experts or owner.config.num_moe_experts)
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


def _experts_rows(owner: Any, parameter: Parameter, parts: int, experts: int | None = None) -> tuple[Slice, ...]:
    """Down of each expert, ``[hidden, ffn]`` in the file, ``[ffn, hidden]`` in the parameter."""
    _refuse_expert_parallelism(parameter, experts or owner.config.num_moe_experts)
    count, length, hidden = parameter.shape
    if parts != 1 or parameter.input_dim != 1 or length * owner.tp_group.size != owner.input_size:
        raise PlanNotPossible(f"{parameter.name} is not one matrix for each expert")
    shape = (hidden, owner.input_size)
    return tuple(Slice(shape, 1, owner.tp_group.rank * length, length, 0, expert) for expert in range(count))


def _refuse_expert_parallelism(parameter: Parameter, experts: int) -> None:
    if parameter.shape[0] != experts:
        raise PlanNotPossible(_EXPERT_PARALLEL)


_EXPERT_PARALLEL = "expert parallelism spreads the experts over ranks"
_UNQUANTIZED = (
    layers.UnquantizedLinearMethod,
    layers.UnquantizedEmbeddingMethod,
    grouped_layers.UnquantizedGroupedLinearMethod,
)
_NEVER_QUANTIZED = (TopKRouter,)
_OF_EXPERTS = (TopKRouter, grouped_layers.ColumnParallelGroupedLinear, grouped_layers.RowParallelGroupedLinear)

# Exact types: a subclass may mean anything by the same fields.
_RULES: Mapping[type, Callable[..., tuple[Slice, ...]]] = MappingProxyType(
    {
        layers.ColumnParallelLinear: _column,
        layers.RowParallelLinear: _row,
        layers.ReplicatedLinear: _replicated,
        layers.VocabParallelEmbedding: _vocabulary,
        layers.MergedColumnParallelLinear: _merged_columns,
        layers.QKVParallelLinear: _query_key_value,
        grouped_layers.ColumnParallelGroupedLinear: _experts_columns,
        grouped_layers.RowParallelGroupedLinear: _experts_rows,
        TopKRouter: _router,
    }
)
