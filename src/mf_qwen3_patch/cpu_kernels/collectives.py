"""Communication between ranks on the CPU, where MindSpore knows one group: that of all ranks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import mindspore
from mindspore import Tensor, ops
from mindspore.communication import GlobalComm, get_group_size


def spanning_world(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``ProcessGroup.__init__`` so that a group of all ranks is the world group, by its name.

    "AllReduce only support mccl_world_group on CPU", although a tensor-parallel group that covers
    all ranks has the same members.
    """

    @functools.wraps(init)
    def of_world(
        self: Any, group: str | None = None, global_ranks: Sequence[int] | None = None, size: int = 1, rank: int = 0
    ) -> None:
        on_cpu = mindspore.get_context("device_target") == "CPU"
        if group is not None and size > 1 and on_cpu and GlobalComm.INITED and size == get_group_size():
            group = GlobalComm.WORLD_COMM_GROUP
        init(self, group, global_ranks, size, rank)

    return of_world


def all_reduce(tensor: Tensor, op: str = "sum", group: str | None = None, async_op: bool = False) -> Any:
    """Stand in for MindSpore's two functions of this name.

    ``mindspore.communication.comm_func.all_reduce``, which MindFormers calls before 2.1.0, has no CPU kernel; it
    returns the reduced tensor and, as nothing has to be waited for, None. ``mindspore.mint.distributed.all_reduce``
    reduces in place. Both is done here. ``op`` is "sum", "max", "min" or "prod"; ``async_op`` must be False.
    """
    if async_op:
        raise NotImplementedError("the CPU stand-in for all_reduce is synchronous")
    reduced = ops.AllReduce(op, group or GlobalComm.WORLD_COMM_GROUP)(tensor)
    tensor.copy_(reduced)
    return reduced, None
