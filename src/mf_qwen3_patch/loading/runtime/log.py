"""One voice for all ranks: INFO lines through the package's logger, warnings through Python's."""

from __future__ import annotations

from collections.abc import Iterable

from mf_qwen3_patch import _warn
from mf_qwen3_patch._log import info as say
from mf_qwen3_patch.errors import CheckpointWarning

__all__ = ["say", "warn"]


def warn(messages: Iterable[str]) -> None:
    """Warn (``CheckpointWarning``) of each message, on rank 0 only."""
    for message in messages:
        _warn.warn(message, CheckpointWarning)
