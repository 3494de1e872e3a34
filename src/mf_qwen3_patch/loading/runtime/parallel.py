"""The ranks that share the model: MindFormers' groups, wherever they exist, and the launch before."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mindformers.parallel_core.inference import parallel_state
from mindspore.communication import GlobalComm, get_group_size

from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism


@dataclass(frozen=True)
class RankNumbers:
    """The number of this process in each of the groups that it belongs to, and among all processes."""

    tensor: int
    pipeline: int
    data: int
    expert: int
    world: int


def groups_exist() -> bool:
    """Return whether MindFormers has shared the processes out, be it by a context or by a script's own call."""
    return bool(parallel_state.is_initialized())


def grouped_ranks() -> Parallelism:
    """Return how MindFormers' groups share the model; without groups, each process has all of it."""
    return Parallelism(
        tensor=parallel_state.get_tensor_model_parallel_world_size(),
        pipeline=parallel_state.get_pipeline_model_parallel_world_size(),
        data=parallel_state.get_data_parallel_world_size(),
        expert=parallel_state.get_moe_expert_parallel_world_size(),
    )


def rank_numbers() -> RankNumbers:
    """Return this process's numbers, as MindFormers' groups say; 0 where there is no group."""
    return RankNumbers(
        tensor=parallel_state.get_tensor_model_parallel_rank(),
        pipeline=parallel_state.get_pipeline_model_parallel_rank(),
        data=parallel_state.get_data_parallel_rank(),
        expert=parallel_state.get_moe_expert_parallel_rank(),
        world=parallel_state.get_world_group().rank if groups_exist() else 0,
    )


def can_communicate() -> bool:
    """Return whether the processes can talk to each other, and are not stood in for by numbers alone."""
    return bool(GlobalComm.INITED)


def launched_ranks() -> int:
    """Return how many processes were started together: as communication knows or, before that, as ``msrun`` says."""
    if can_communicate():
        return int(get_group_size())
    workers = os.environ.get("MS_WORKER_NUM", "")
    return int(workers) if workers.isdigit() and int(workers) > 0 else 1
