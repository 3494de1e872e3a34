"""Looking at the network of one rank among several, without the others.

A stock layer knows its slices from its process group's rank and size alone; only communication needs the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mindformers.parallel_core import process_group_config
from mindformers.parallel_core.inference import parallel_state

# Without data and expert parallelism, experts are split among the same ranks as everything else.
_GROUPS = ("tp", "moe_tp", "tp_dp")


@contextmanager
def as_rank(rank: int, ranks: int) -> Iterator[None]:
    """Let stock build networks as one of several tensor-parallel ranks. They can be loaded, but not run."""
    group = parallel_state.ProcessGroup("tp", list(range(ranks)), ranks, rank)
    default = process_group_config.default_model_comm_pgs
    targets = [(parallel_state, "_TENSOR_MODEL_PARALLEL_GROUP"), *((default, name) for name in _GROUPS)]
    stock = [getattr(owner, name) for owner, name in targets]
    for owner, name in targets:
        setattr(owner, name, group)
    try:
        yield
    finally:
        for (owner, name), value in zip(targets, stock, strict=True):
            setattr(owner, name, value)
