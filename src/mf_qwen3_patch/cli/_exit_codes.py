"""The exit codes, which mean the same for every command."""

from __future__ import annotations

from mf_qwen3_patch.errors import ActivationError, CheckpointError, DeviceUnavailable, LoadNotProven, Qwen3PatchError

OK = 0
PROBLEMS = 1
USAGE = 2
ENVIRONMENT = 3
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
READER_GONE = 141  # 128 + SIGPIPE

# The first that fits counts. What is not there, or is in the way, was named on the command line.
_BY_ERROR: tuple[tuple[type[BaseException], int], ...] = (
    (CheckpointError, PROBLEMS),
    (LoadNotProven, PROBLEMS),
    (DeviceUnavailable, ENVIRONMENT),
    (ActivationError, ENVIRONMENT),
    (ImportError, ENVIRONMENT),
    (FileNotFoundError, USAGE),
    (FileExistsError, USAGE),
    (NotADirectoryError, USAGE),
    (IsADirectoryError, USAGE),
    (OSError, ENVIRONMENT),
    (ValueError, USAGE),
)

REPORTED = (Qwen3PatchError, OSError, ImportError, ValueError)
"""The errors that end a command with one message instead of a traceback."""


def exit_code_for(error: BaseException) -> int:
    """Return the exit code for an error that ends a command; PROBLEMS for what has none of its own."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), PROBLEMS)
