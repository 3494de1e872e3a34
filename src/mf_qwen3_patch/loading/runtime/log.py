"""One voice for all ranks: INFO lines through MindFormers' own logger, warnings through Python's."""

from __future__ import annotations

from collections.abc import Iterable

from mindformers.tools.logger import get_logger

from mf_qwen3_patch import _warn
from mf_qwen3_patch._display import printable
from mf_qwen3_patch.errors import CheckpointWarning
from mf_qwen3_patch.ranks import is_first_rank


def say(message: str, *args: object) -> None:
    """Log at INFO level, on rank 0 only; the line names the caller's module."""
    if is_first_rank():
        # MindFormers' logger names the first frame outside the file that called it, whatever ``stacklevel`` says:
        # without its class ``logger`` in between, that is the caller of this function.
        get_logger().info("mf_qwen3_patch: %s", printable(message % args), stacklevel=2)


def warn(messages: Iterable[str]) -> None:
    """Warn (``CheckpointWarning``) of each message, on rank 0 only."""
    for message in messages:
        _warn.warn(message, CheckpointWarning)
