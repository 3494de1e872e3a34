"""The environment variables that steer the shim, read once per activation.

===========================  =================================================================
``MF_QWEN3_PATCH``           ``1`` (default) on; ``0`` everything off; ``strict``: a patch that
                             cannot be applied raises instead of warning, and the verification after a
                             load compares everything instead of a sample.
``MF_QWEN3_PATCH_DISABLE``   comma-separated names of patches to leave out.
``MF_QWEN3_PATCH_CPU``       ``1``: enable the CPU stand-ins for Ascend-only kernels.
``MF_QWEN3_PATCH_LOG``       ``debug``, ``info`` (default), ``warning`` or ``silent``.
===========================  =================================================================

More are read where they are used: ``MF_QWEN3_PATCH_THREADS`` (``thread_count``) and ``MF_QWEN3_PATCH_DEQUANTIZE``
(``dequantizes``) at every load, ``MF_QWEN3_PATCH_REPORT`` after it (``loading/report.py``), ``MF_QWEN3_PATCH_WAIT`` by
several ranks that load together (``wait_limit``), and
``MF_QWEN3_PATCH_STARTUP_NEXT`` by the file for PYTHONSTARTUP (``activation/injection/pythonstartup.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from mf_qwen3_patch._log import LEVELS
from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.errors import PatchWarning

_THREADS = "MF_QWEN3_PATCH_THREADS"
_DEQUANTIZE = "MF_QWEN3_PATCH_DEQUANTIZE"
_WAIT = "MF_QWEN3_PATCH_WAIT"
_DEFAULT_WAIT_SECONDS = 600.0
# More do not help: a few threads saturate a disk and the memory.
_MOST_THREADS = 4
_MODES = {"": "on", "1": "on", "0": "off", "strict": "strict"}
_FLAGS = {"": False, "0": False, "1": True}
TRAINING_RUNS = ("train", "finetune")  # values of MindFormers' run_mode


@dataclass(frozen=True)
class Settings:
    """The settings that the environment gives.

    Attributes:
        enabled: False if ``MF_QWEN3_PATCH=0``.
        strict: True if ``MF_QWEN3_PATCH=strict``.
        disabled: Names of patches to leave out.
        cpu_kernels: True if ``MF_QWEN3_PATCH_CPU=1``.
        log_level: The level of ``logging`` that ``MF_QWEN3_PATCH_LOG`` names.
    """

    enabled: bool = True
    strict: bool = False
    disabled: frozenset[str] = frozenset()
    cpu_kernels: bool = False
    log_level: int = LEVELS["info"]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings, by default from ``os.environ``; a value that is not valid counts as none, and warns.

        Which names ``MF_QWEN3_PATCH_DISABLE`` may hold is not known here.
        """
        environ = os.environ if environ is None else environ
        mode = _choose(environ, "MF_QWEN3_PATCH", _MODES)
        cpu_kernels = _choose(environ, "MF_QWEN3_PATCH_CPU", _FLAGS)
        log_level = _choose(environ, "MF_QWEN3_PATCH_LOG", {"": LEVELS["info"], **LEVELS})
        disabled = frozenset(
            name.strip() for name in environ.get("MF_QWEN3_PATCH_DISABLE", "").split(",") if name.strip()
        )
        return cls(
            enabled=mode != "off",
            strict=mode == "strict",
            disabled=disabled,
            cpu_kernels=cpu_kernels,
            log_level=log_level,
        )


_T = TypeVar("_T")


def _choose(environ: Mapping[str, str], variable: str, choices: Mapping[str, _T]) -> _T:
    value = environ.get(variable, "").strip().lower()
    if value not in choices:
        valid = ", ".join(repr(choice) for choice in choices if choice)
        warn(f"{variable}={environ[variable]!r} is not one of {valid}: ignored", PatchWarning)
        value = ""
    return choices[value]


def thread_count(requested: int | None = None) -> int:
    """Return the number of threads to load with.

    Args:
        requested: An explicit number; by default ``MF_QWEN3_PATCH_THREADS`` if it is set, else as many as this
            process has CPUs, at most 4.

    Raises:
        ValueError: The number is not a positive integer.
    """
    if requested is not None:
        if requested < 1:
            raise ValueError(f"threads must be a positive integer, not {requested}")
        return requested
    value = os.environ.get(_THREADS, "").strip()
    if not value:
        return min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{_THREADS}={value!r} is not a positive integer")
    return int(value)


def dequantizes(requested: bool | None = None) -> bool:
    """Return whether quantized checkpoints are dequantized while they are loaded, instead of being refused.

    Args:
        requested: An explicit answer; by default that of ``MF_QWEN3_PATCH_DEQUANTIZE``, ``1`` if it is not set; what
            is neither counts as none, and warns.
    """
    return _choose(os.environ, _DEQUANTIZE, {**_FLAGS, "": True}) if requested is None else requested


def wait_limit() -> float:
    """Return for how many seconds a rank waits for another in which nothing happens: ``MF_QWEN3_PATCH_WAIT``, or 600.

    Raises ValueError if it is not a positive number.
    """
    value = os.environ.get(_WAIT, "").strip()
    if not value:
        return _DEFAULT_WAIT_SECONDS
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{_WAIT}={value!r} is not a positive number of seconds")
    return float(value)


def is_training_run() -> bool:
    """Return whether MindFormers' RUN_MODE says that this process trains; such calls are stock's business."""
    return os.environ.get("RUN_MODE", "").lower() in TRAINING_RUNS
