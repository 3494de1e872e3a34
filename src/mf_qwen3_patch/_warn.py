"""Warnings that name the user's own line, whatever lies between it and the place that warns; one rank speaks."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from mf_qwen3_patch._display import printable
from mf_qwen3_patch._log import is_silent
from mf_qwen3_patch.ranks import is_first_rank

_BETWEEN = frozenset({"mf_qwen3_patch", "mindspore", "mindformers", "wrapt", "importlib", "contextlib", "functools"})


def find_stack_level() -> int:
    """Return the ``stacklevel`` of the first frame outside this package and the stack it serves, for ``warnings.warn``.

    It counts from the function that calls this one. Where there is no such frame, it is the outermost one.
    """
    frame = sys._getframe(1)
    level = 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        frame = frame.f_back
        level += not _is_import_system(frame)
    return level


def warn(message: str, category: type[Warning]) -> None:
    """Warn, in the name of the user's line, on rank 0 only, and unless the log is silent."""
    if is_first_rank() and not is_silent():
        warnings.warn(printable(message), category, stacklevel=find_stack_level())


def _is_import_system(frame: FrameType) -> bool:
    """Return whether ``warnings.warn`` leaves this frame out when it counts; it goes by the file's name, too."""
    return "importlib" in frame.f_code.co_filename and "_bootstrap" in frame.f_code.co_filename
