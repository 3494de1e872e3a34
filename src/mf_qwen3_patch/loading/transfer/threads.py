"""How many threads read and cast."""

from __future__ import annotations

import os

_VARIABLE = "MF_QWEN3_PATCH_THREADS"
# More do not help: a few threads saturate a disk and the memory.
_MOST_BY_DEFAULT = 4


def thread_count(requested: int | None = None) -> int:
    """Return the number of threads to load with.

    Args:
        requested: An explicit number; by default ``MF_QWEN3_PATCH_THREADS`` if it is set, else as many as this
            process has CPUs, at most 4.

    Raises:
        ValueError: The number is not a positive integer.
    """
    if requested is not None:
        if requested < 1:
            raise ValueError(f"threads must be a positive integer, not {requested}")
        return requested
    value = os.environ.get(_VARIABLE, "").strip()
    if not value:
        return min(_MOST_BY_DEFAULT, len(os.sched_getaffinity(0)))
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{_VARIABLE}={value!r} is not a positive integer")
    return int(value)
