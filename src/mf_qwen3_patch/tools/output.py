"""What commands say, and to whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["resumable", "stdout_for_us_alone"]


@contextmanager
def stdout_for_us_alone() -> Iterator[TextIO]:
    """Give out what is standard output now, and send to stderr whatever others write to it from here on.

    MindFormers logs to stdout, MindSpore's C++ writes there past ``sys.stdout``, and both do so until the process
    has ended; one line of theirs and ``--json`` is no JSON any more.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors) as ours:
        os.dup2(2, 1)
        yield ours


@contextmanager
def resumable(target: str) -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with what is whole in {target}.partial", file=sys.stderr)
        raise
