"""The environment variables that steer the shim, read once per activation.

===========================  =================================================================
``MF_QWEN3_PATCH``           ``1`` (default) on; ``0`` everything off; ``strict``: a patch that
                             cannot be applied raises instead of warning, and the verification after a
                             load compares everything instead of a sample.
``MF_QWEN3_PATCH_DISABLE``   comma-separated names of patches to leave out.
``MF_QWEN3_PATCH_CPU``       ``1``: enable the CPU stand-ins for Ascend-only kernels.
``MF_QWEN3_PATCH_LOG``       ``debug``, ``info`` (default), ``warning`` or ``silent``.
===========================  =================================================================

More are read where they are used: ``MF_QWEN3_PATCH_THREADS`` (``thread_count``), ``MF_QWEN3_PATCH_IN_FLIGHT``
(``reads_in_flight``), ``MF_QWEN3_PATCH_PAGE_CACHE`` (``page_cache_policy``) and ``MF_QWEN3_PATCH_DEQUANTIZE``
(``dequantizes``) at every load, ``MF_QWEN3_PATCH_REPORT`` after it (``loading/report.py``), ``MF_QWEN3_PATCH_WAIT`` by
several ranks that load together (``wait_limit``), and
``MF_QWEN3_PATCH_STARTUP_NEXT`` by the file for PYTHONSTARTUP (``activation/injection/pythonstartup.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch._log import LEVELS
from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.errors import PatchWarning

_THREADS = "MF_QWEN3_PATCH_THREADS"
_IN_FLIGHT = "MF_QWEN3_PATCH_IN_FLIGHT"
_PAGE_CACHE = "MF_QWEN3_PATCH_PAGE_CACHE"
_DEQUANTIZE = "MF_QWEN3_PATCH_DEQUANTIZE"
_WAIT = "MF_QWEN3_PATCH_WAIT"
_DEFAULT_WAIT_SECONDS = 600.0
# More do not help by default: a few threads saturate the memory.
_DEFAULT_MOST_THREADS = 4
# Nor do more ever, and each costs memory.
_MOST_THREADS = 64
_MOST_IN_FLIGHT = 1024  # MiB
_MOST_WAIT_SECONDS = 10**9

PageCachePolicy: TypeAlias = Literal["auto", "keep", "bypass"]
_POLICIES: Mapping[str, PageCachePolicy] = {"": "auto", "auto": "auto", "keep": "keep", "bypass": "bypass"}
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


def _positive(variable: str, most: int, what: str) -> int | None:
    """Return the number that a variable gives, at most ``most``; None if it is not set.

    Raises ValueError if it is not a positive ``what``.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        return None
    digits = value.lstrip("0")
    if not value.isdecimal() or not digits:
        raise ValueError(f"{variable}={short_repr(value)} is not a positive {what}")
    # int() refuses numbers of thousands of digits.
    return most if len(digits) > len(str(most)) else min(int(digits), most)


def thread_count(requested: int | None = None) -> int:
    """Return the number of threads that work at the same time in a load.

    Args:
        requested: An explicit number; by default ``MF_QWEN3_PATCH_THREADS`` if it is set, at most 64, else as many as
            this process has CPUs, at most 4.

    Raises:
        ValueError: The number is not a positive integer.
    """
    if requested is not None:
        if requested < 1:
            raise ValueError(f"threads must be a positive integer, not {requested}")
        return min(requested, _MOST_THREADS)
    count = _positive(_THREADS, _MOST_THREADS, "integer")
    return min(_DEFAULT_MOST_THREADS, len(os.sched_getaffinity(0))) if count is None else count


def reads_in_flight(read_bytes: int, default: int) -> int:
    """Return how many reads of ``read_bytes`` a load may have in flight at the disk, at least 1.

    Together they read ``MF_QWEN3_PATCH_IN_FLIGHT`` MiB, at most 1024; if that is not set, they are ``default``. Raises
    ValueError if it is not a positive integer.
    """
    mebibytes = _positive(_IN_FLIGHT, _MOST_IN_FLIGHT, "number of MiB")
    return default if mebibytes is None else max(1, (mebibytes << 20) // read_bytes)


def page_cache_policy() -> PageCachePolicy:
    """Return what shall become of the page cache: ``MF_QWEN3_PATCH_PAGE_CACHE``; what is not valid counts as none."""
    return _choose(os.environ, _PAGE_CACHE, _POLICIES)


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
    return float(_positive(_WAIT, _MOST_WAIT_SECONDS, "number of seconds") or _DEFAULT_WAIT_SECONDS)


def is_training_run() -> bool:
    """Return whether MindFormers' RUN_MODE says that this process trains; such calls are stock's business."""
    return os.environ.get("RUN_MODE", "").lower() in TRAINING_RUNS
