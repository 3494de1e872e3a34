"""The rank of this process."""

from __future__ import annotations

import os


def rank() -> int:
    """Return this process's rank, as MindSpore's launchers say even before communication is initialized; else 0."""
    for variable in ("RANK_ID", "MS_NODE_ID", "OMPI_COMM_WORLD_RANK"):
        value = os.environ.get(variable, "")
        if value.isdigit():
            return int(value)
    return 0


def is_first_rank() -> bool:
    """Return whether this process speaks for all: logs and progress come from rank 0 only."""
    return rank() == 0
