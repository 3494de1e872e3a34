"""One voice for all ranks, through MindFormers' own logger."""

from __future__ import annotations

from collections.abc import Iterable

from mindformers.tools.logger import logger

from mf_qwen3_patch import _warn
from mf_qwen3_patch.errors import CheckpointWarning
from mf_qwen3_patch.loading.runtime.ranks import is_first_rank


def say(message: str, *args: object) -> None:
    """Log at INFO level, on rank 0 only.

    Args:
        message: As for ``logging``.
        args: For ``message``.
    """
    if is_first_rank():
        # The line names the module that has something to say, not this one.
        logger.info("mf_qwen3_patch: " + message, *args, stacklevel=2)


def warn(messages: Iterable[str]) -> None:
    """Warn (``CheckpointWarning``) of what should be known about a checkpoint, on rank 0 only.

    Args:
        messages: One warning each.
    """
    if is_first_rank():
        for message in messages:
            _warn.warn(message, CheckpointWarning)
