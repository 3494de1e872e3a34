"""The output of commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import Written


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


def written_lines(written: Written, contents: str, *more: str, use: str = "") -> Iterator[str]:
    """Yield what is to be said of a directory that a command has made.

    Args:
        written: The directory.
        contents: What is in its weight files.
        more: What else is to be said.
        use: How to use it. If it was there already, none of the three is said.
    """
    if written.already:
        yield f"{written.directory} is there, whole, and made from the same source: nothing to do"
        return
    yield f"{written.directory}: {contents}, {len(written.files)} files, {written.nbytes / 1e9:.2f} GB"
    if use:
        yield use
    if written.kept:
        yield f"  {written.kept} of the files were whole already and are kept"
    yield from more
