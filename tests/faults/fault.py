"""One way to break a checkpoint, and what must be said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mf_qwen3_patch.errors import CheckpointError


@dataclass(frozen=True)
class Fault:
    """One way to break a checkpoint.

    Attributes:
        name: What is wrong.
        make: Breaks a good directory in place; may return overrides to check it with.
        error: The type that must be raised.
        says: What the message must contain: file, tensor or field, both values.
        ranks: Tensor-parallel ranks to check for.
        in_load_weights: The type and the message where load_weights finds something else, as it takes MindFormers' names.
    """

    name: str
    make: Callable[[Path], dict[str, Any] | None]
    error: type[CheckpointError]
    says: tuple[str, ...]
    ranks: int = 1
    in_load_weights: tuple[type[CheckpointError], tuple[str, ...]] | None = None
