"""Room for what stock computes while it builds a network, where it would compute it."""

from __future__ import annotations

from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.memory import free_host_memory
from mf_qwen3_patch.checkpoint.checks.rotary_tables import RotaryTables, tables_problem
from mf_qwen3_patch.errors import error_for
from mf_qwen3_patch.loading.runtime.context import device_kind, memory_limit


def refuse_without_room(tables: RotaryTables, directory: Path) -> None:
    """Raise ConfigMismatch if the network's rotary tables can't be computed on this device, or CPU."""
    if device_kind() == "CPU":
        room, place = free_host_memory(), "is free on this host"
    else:
        room, place = memory_limit(), "MindSpore may take of the device"
    problem = tables_problem(tables) if room is None else tables_problem(tables, room, place)
    if problem is not None:
        raise error_for([problem], str(directory))
