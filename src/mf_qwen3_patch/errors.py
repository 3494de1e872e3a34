"""Every error and warning that this package raises on purpose.

An error is part of the interface. Each says what is wrong, where (file, tensor, parameter,
config field), both values where two disagree, and what to do about it. Checkpoint errors carry
*all* problems that were found, most important first, so that nobody mends one per run; the class
of the exception is that of its first problem.

The classes also derive from the builtin that stock MindFormers or HuggingFace would raise in that
place (``ValueError``, ``RuntimeError``), so that existing ``except`` clauses go on working.

Every message starts with a code, ``[MFQ001]``, which does not change when a sentence is reworded: it is
what to search for in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from mf_qwen3_patch._display import printable
from mf_qwen3_patch._problem_text import text_of, text_of_all

__all__ = [
    "CODES",
    "ActivationError",
    "CheckpointError",
    "CheckpointWarning",
    "ConfigMismatch",
    "CorruptCheckpoint",
    "DeviceUnavailable",
    "IncompleteCheckpoint",
    "InvalidValues",
    "LatePatchWarning",
    "LoadNotProven",
    "PatchWarning",
    "Problem",
    "Qwen3PatchError",
    "UnsupportedCheckpoint",
    "error_for",
]


CODES: Mapping[str, str] = MappingProxyType(
    {
        "ConfigMismatch": "MFQ001",
        "IncompleteCheckpoint": "MFQ002",
        "CorruptCheckpoint": "MFQ003",
        "UnsupportedCheckpoint": "MFQ004",
        "InvalidValues": "MFQ005",
        "LoadNotProven": "MFQ006",
        "ActivationError": "MFQ007",
        "DeviceUnavailable": "MFQ008",
        "CheckpointWarning": "MFQ101",
        "PatchWarning": "MFQ102",
        "LatePatchWarning": "MFQ103",
    }
)
"""The code of each class, by its name: errors from 001, warnings from 101. Never renumbered, never used again."""


class _Coded:
    """Gives a class its code, and its messages the code in front; a class without one has its base's."""

    code: ClassVar[str] = ""
    _keep: ClassVar[str] = "\n"  # the line breaks of an error are ours

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.code = CODES.get(cls.__name__, cls.code)

    def __str__(self) -> str:
        text = printable(super().__str__(), self._keep)
        return f"[{self.code}] {text}" if self.code else text


class Qwen3PatchError(_Coded, Exception):
    """Base class of all errors raised by mf_qwen3_patch.

    Attributes:
        code: What the message starts with, e.g. ``MFQ001``; one for each class.
    """


class ActivationError(Qwen3PatchError, RuntimeError):
    """A patch that was asked for explicitly could not be applied or reverted."""


class DeviceUnavailable(Qwen3PatchError, RuntimeError):
    """The device that was asked for does not answer on this machine."""


class LoadNotProven(Qwen3PatchError, RuntimeError):
    """After the load, the model does not hold what the checkpoint says; the model is not returned."""


class CheckpointError(Qwen3PatchError, ValueError):
    """The checkpoint, or what was said about it, cannot be loaded rightly.

    Args:
        problems: What was found, most important first; never empty.
        subject: What was being looked at, usually the directory.

    Attributes:
        problems: The problems as objects, for programs.
        subject: As given.
    """

    def __init__(self, problems: Sequence[Problem], subject: str | None = None) -> None:
        if not problems:
            raise ValueError("a CheckpointError needs at least one problem")
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.subject = subject
        super().__init__(text_of_all(self.problems, subject))

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception pickles its args, which here are the rendered text.
        return type(self), (self.problems, self.subject)


class ConfigMismatch(CheckpointError):
    """A config field (config.json, YAML or keyword) contradicts the weights."""


class IncompleteCheckpoint(CheckpointError):
    """A file, shard or tensor that the model needs is not there."""


class CorruptCheckpoint(CheckpointError):
    """A file is damaged: truncated, overlong, unreadable, not what its header or index says."""


class UnsupportedCheckpoint(CheckpointError):
    """A sound checkpoint of a kind that cannot be loaded rightly; the message says which and why."""


class InvalidValues(CheckpointError):
    """The checkpoint's own numbers are unusable: NaN or infinity in a tensor."""


class PatchWarning(_Coded, UserWarning):
    """Something about the patches themselves: skipped, stepped aside, too late."""

    _keep = ""


class LatePatchWarning(PatchWarning):
    """A module bound a name before it was patched and keeps the old object."""


class CheckpointWarning(_Coded, UserWarning):
    """Something about a checkpoint that does not stop the load but should be known."""

    _keep = ""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a checkpoint.

    Attributes:
        kind: The exception class that this problem alone would raise.
        summary: What is wrong, in one sentence without a trailing full stop.
        file: The file's name that shows it, relative to the directory where possible.
        tensor: The HuggingFace tensor's name.
        parameter: The MindFormers parameter's name.
        field: The config field, e.g. ``hidden_size``.
        expected: The value that was expected.
        found: The value that was found.
        advice: What to do.
    """

    kind: type[CheckpointError]
    summary: str
    file: str | None = None
    tensor: str | None = None
    parameter: str | None = None
    field: str | None = None
    expected: object = None
    found: object = None
    advice: str | None = None

    @property
    def code(self) -> str:
        """The code of its kind."""
        return self.kind.code

    def __str__(self) -> str:
        return f"[{self.code}] {self.text}"

    @property
    def text(self) -> str:
        """The problem in some lines, without the code."""
        return text_of(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as JSON-compatible values, absent fields left out."""
        fields = {
            "code": self.code,
            "kind": self.kind.__name__,
            "summary": self.summary,
            "file": self.file,
            "tensor": self.tensor,
            "parameter": self.parameter,
            "field": self.field,
            "expected": _json_value(self.expected),
            "found": _json_value(self.found),
            "advice": self.advice,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _json_value(value: object) -> Any:
    """Return a number as a number, a shape as a list of numbers, and everything else as text."""
    if isinstance(value, (list, tuple)) and all(isinstance(size, int) for size in value):
        return list(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def some(names: Sequence[str], most: int = 3, more: str = ", ...") -> str:
    """Return the first names of a sequence for a message.

    Args:
        names: The names.
        most: Number of names that are shown.
        more: Said after them if there are others; ``{}`` in it becomes their number.
    """
    shown = ", ".join(name[:120] for name in names[:most])
    return shown + (more.format(len(names) - most) if len(names) > most else "")


def error_for(problems: Iterable[Problem], subject: str | None = None) -> CheckpointError:
    """Build the one exception that reports all ``problems``; its class is the first one's kind."""
    collected = tuple(problems)
    return collected[0].kind(collected, subject)
