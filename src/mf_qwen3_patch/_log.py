"""Logger ``mf_qwen3_patch``: lines on standard error, and in MindFormers' log files once MindFormers is there.

Standard output belongs to the program, so that MindFormers' own handler for it gets none of these lines. A program that
configures ``logging`` itself gets the records as from any other library, and nothing is written for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from mf_qwen3_patch._display import printable
from mf_qwen3_patch.ranks import is_first_rank

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "silent": logging.CRITICAL + 1}
"""The values of ``MF_QWEN3_PATCH_LOG``."""

LOGGER = logging.getLogger("mf_qwen3_patch")


class _Handler(logging.Handler):
    """Writes to standard error, unless the program has handlers of its own, and to MindFormers' files."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.root.handlers:
            print(self.format(record), file=sys.stderr)
        for handler in _mindformers_handlers():
            if record.levelno >= handler.level:
                handler.handle(record)


def _mindformers_handlers() -> Iterator[logging.Handler]:
    """Yield the handlers of MindFormers' logger but for those that write to a terminal."""
    # Whoever has not imported MindFormers shall not do so for the sake of a line.
    module: Any = sys.modules.get("mindformers.tools.logger")
    get_logger = getattr(module, "get_logger", None)
    for handler in get_logger().handlers if get_logger is not None else ():
        if isinstance(handler, logging.FileHandler) or not isinstance(handler, logging.StreamHandler):
            yield handler


def set_up(level: int = logging.INFO) -> None:
    """Set the level, and attach the handler unless it is there already."""
    LOGGER.setLevel(level)
    if not any(handler.name == LOGGER.name for handler in LOGGER.handlers):  # as after a reload of this module
        handler = _Handler()
        handler.name = LOGGER.name
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        LOGGER.addHandler(handler)


def is_silent() -> bool:
    """Return whether ``MF_QWEN3_PATCH_LOG=silent`` was set, which concerns Python warnings, too."""
    return not LOGGER.isEnabledFor(logging.CRITICAL)


def debug(message: str, *args: object) -> None:
    """Log at DEBUG level, on rank 0 only; the record names the caller's line."""
    if is_first_rank():
        LOGGER.debug("%s", printable(message % args), stacklevel=2)


def info(message: str, *args: object) -> None:
    """Log at INFO level, on rank 0 only; the record names the caller's line."""
    if is_first_rank():
        LOGGER.info("%s", printable(message % args), stacklevel=2)


set_up()
