"""Looking at the network of one rank among several, without the others.

A stock layer knows its slices from its process group's rank and size alone; only communication needs the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mindformers.parallel_core import process_group_config
from mindformers.parallel_core.inference import parallel_state

from mf_qwen3_patch.families.mindformers import Family
from mf_qwen3_patch.loading.runtime.network import build_config, build_model, network_parameters
from mf_qwen3_patch.loading.transfer.rank_slices import Shard, shards_of

# Without data and expert parallelism, experts are split among the same ranks as everything else.
_GROUPS = ("tp", "moe_tp", "tp_dp")


@contextmanager
def as_rank(rank: int, ranks: int) -> Iterator[None]:
    """Let stock build networks as one of several tensor-parallel ranks. They can be loaded, but not run.

    Args:
        rank: Which one.
        ranks: Of how many.
    """
    group = parallel_state.ProcessGroup("tp", list(range(ranks)), ranks, rank)
    default = process_group_config.default_model_comm_pgs
    before = parallel_state._TENSOR_MODEL_PARALLEL_GROUP, {name: getattr(default, name) for name in _GROUPS}
    parallel_state._TENSOR_MODEL_PARALLEL_GROUP = group
    for name in _GROUPS:
        setattr(default, name, group)
    try:
        yield
    finally:
        parallel_state._TENSOR_MODEL_PARALLEL_GROUP, groups = before
        for name, stock in groups.items():
            setattr(default, name, stock)


def shards_of_rank(config: Mapping[str, Any], rank: int, ranks: int, family: Family) -> dict[str, tuple[Shard, ...]]:
    """Return what each parameter of a rank holds: one shard for each HuggingFace tensor that it is made of.

    Args:
        config: The normalized config.json.
        rank: Which rank.
        ranks: Of how many.
        family: The model family.
    """
    with as_rank(rank, ranks):
        model = build_model(build_config(config, family), family)
        return {
            name: shards_of(parameter, len(family.parts_of(name)))
            for name, parameter in network_parameters(model).items()
        }
