"""One voice for all ranks, through MindFormers' own logger."""

from __future__ import annotations

from mindformers.tools.logger import logger

from mf_qwen3_patch.loading.ranks import is_first_rank

__all__ = ["say"]


def say(message: str, *args: object) -> None:
    """Log at INFO level, on rank 0 only.

    Args:
        message: As for ``logging``.
        args: For ``message``.
    """
    if is_first_rank():
        logger.info("mf_qwen3_patch: " + message, *args)
