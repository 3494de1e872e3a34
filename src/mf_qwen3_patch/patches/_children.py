"""Child processes in which the shim is active, whatever their start method.

This module imports nothing of MindFormers: it is what a spawned child imports first.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any


def call(target: Callable[..., Any], *args: Any) -> None:
    """Call ``target``. By having to be imported, this function brings the shim into a spawned child."""
    target(*args)


def process(*, target: Callable[..., Any], args: Iterable[Any]) -> Any:
    """Make a ``multiprocessing.Process`` in which the shim is active.

    Args:
        target: What it calls.
        args: With these.
    """
    return multiprocessing.Process(target=call, args=(target, *args))


def forked_process(*, target: Callable[..., Any], args: Iterable[Any]) -> Any:
    """Make a process by ``fork``, whatever the default start method: ``args`` need not pickle.

    Args:
        target: What it calls.
        args: With these.
    """
    return multiprocessing.get_context("fork").Process(target=target, args=tuple(args))
