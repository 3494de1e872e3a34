"""Which part of a HuggingFace tensor a rank's parameter holds.

The numbers are those of the stock layer that owns the parameter, which it computed for its own
``weight_loader``; only the meaning of its fields is stated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Any

from mindformers.parallel_core.inference.tensor_parallel import grouped_layers, layers
from mindformers.parallel_core.inference.transformer.moe.router import TopKRouter
from mindspore import Parameter

from mf_qwen3_patch.errors import Qwen3PatchError


class PlanNotPossible(Qwen3PatchError, NotImplementedError):
    """The fast loader does not know this model; nothing was touched, and stock's own loader may be used.

    Args:
        reason: What it does not know.
    """


@dataclass(frozen=True)
class Shard:
    """A range along one axis of a tensor, and where it goes in the parameter.

    Attributes:
        shape: Of the whole tensor, all ranks together.
        axis: The axis that is cut and, in a fused parameter, concatenated.
        start: First index of the range in the tensor.
        length: Number of indices.
        destination: First index of the range in the parameter.
        expert: Which matrix of a parameter that stacks those of all experts; they are transposed there, so that
            ``axis`` and ``destination`` refer to the transposed matrix. None for any other parameter.
    """

    shape: tuple[int, ...]
    axis: int
    start: int
    length: int
    destination: int = 0
    expert: int | None = None


def shards_of(parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    """Return what ``parameter`` holds, one shard for each tensor that it is made of.

    Args:
        parameter: Of the stock inference network.
        parts: Of how many tensors it is made: 3 for Q|K|V, 2 for gate|up, else 1; of a parameter that stacks the
            matrices of all experts, how many make the matrix of one.

    Returns:
        One shard for each tensor; in a stack for each expert its parts, one expert after the other.

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
    if method not in _UNQUANTIzED and type(owner) not in _NEVER_QUANTIzED:
        raise PlanNotPossible(f"{parameter.name} is stored by {method.__name__}: a quantized layer")
    return rule(owner, parameter, parts)


def _whole(parameter: Parameter) -> Shard:
    shape = tuple(parameter.shape)
    return Shard(shape, axis=0, start=0, length=shape[0])


def _cut(parameter: Parameter, axis: int, full: int, start: int, length: int, destination: int = 0) -> Shard:
    shape = list(parameter.shape)
    shape[axis] = full
    return Shard(tuple(shape), axis, start, length, destination)


def _single(parts: int, shard: Shard, parameter: Parameter) -> tuple[Shard, ...]:
    if parts != 1:
        raise PlanNotPossible(f"{parameter.name} should be made of {parts} tensors, but its layer takes one")
    return (shard,)


def _column(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    length = owner.output_size_per_partition
    shard = _cut(
        parameter, parameter.output_dim, owner.output_size, owner.tp_group.rank * length, length
    )  # fmt: skip
    return _single(parts, shard, parameter)


def _row(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    axis = getattr(parameter, "input_dim", None)
    if axis is None:  # a bias, whole on every rank
        return _single(parts, _whole(parameter), parameter)
    length = owner.input_size_per_partition
    shard = _cut(parameter, axis, owner.input_size, owner.tp_group.rank * length, length)
    return _single(parts, shard, parameter)


def _replicated(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    return _single(parts, _whole(parameter), parameter)


def _vocabulary(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    shard = _cut(
        parameter,
        parameter.output_dim,
        owner.num_embeddings,
        owner.vocab_start_index,
        owner.num_embeddings_per_partition,
    )
    return _single(parts, shard, parameter)


def _merged_columns(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    lengths = owner.output_partition_sizes
    if parts != len(lengths) or parameter.output_dim != 0:
        raise PlanNotPossible(f"{parameter.name} is not {parts} tensors below each other")
    return tuple(
        _cut(parameter, 0, full, owner.tp_group.rank * length, length, destination)
        for full, length, destination in zip(owner.output_sizes, lengths, accumulate(lengths, initial=0), strict=False)
    )


def _query_key_value(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
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


def _router(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    if owner.ep_group_size > 1:
        raise PlanNotPossible(_EXPERT_PARALLEL)
    return _single(parts, _whole(parameter), parameter)


def _experts_columns(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    """Gate and up of each expert, ``[ffn, hidden]`` in the file, side by side in ``[hidden, gate|up]``."""
    _refuse_expert_parallelism(parameter, owner.config.num_moe_experts)
    experts, hidden, both = parameter.shape
    length = both // parts
    shape = (length * owner.tp_group.size, hidden)
    if parts != 2 or parameter.output_dim != 2 or shape[0] * parts != owner.output_size:
        raise PlanNotPossible(f"{parameter.name} is not {parts} matrices beside each other for each expert")
    return tuple(
        Shard(shape, 0, owner.tp_group.rank * length, length, part * length, expert)
        for expert in range(experts)
        for part in range(parts)
    )


def _experts_rows(owner: Any, parameter: Parameter, parts: int) -> tuple[Shard, ...]:
    """Down of each expert, ``[hidden, ffn]`` in the file, ``[ffn, hidden]`` in the parameter."""
    _refuse_expert_parallelism(parameter, owner.config.num_moe_experts)
    experts, length, hidden = parameter.shape
    if parts != 1 or parameter.input_dim != 1 or length * owner.tp_group.size != owner.input_size:
        raise PlanNotPossible(f"{parameter.name} is not one matrix for each expert")
    shape = (hidden, owner.input_size)
    return tuple(Shard(shape, 1, owner.tp_group.rank * length, length, 0, expert) for expert in range(experts))


def _refuse_expert_parallelism(parameter: Parameter, experts: int) -> None:
    if parameter.shape[0] != experts:
        raise PlanNotPossible(_EXPERT_PARALLEL)


_EXPERT_PARALLEL = "expert parallelism spreads the experts over ranks"
_UNQUANTIzED = (
    layers.UnquantizedLinearMethod,
    layers.UnquantizedEmbeddingMethod,
    grouped_layers.UnquantizedGroupedLinearMethod,
)
_NEVER_QUANTIzED = (TopKRouter,)

# Exact types: a subclass may mean anything by the same fields.
_RULES: Mapping[type, Callable[[Any, Parameter, int], tuple[Shard, ...]]] = MappingProxyType(
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
