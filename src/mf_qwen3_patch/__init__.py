"""Stock MindFormers loads a HuggingFace Qwen3 directory, completely and rightly, or says clearly why not.

**When.** Import this module before, or at the latest together with, mindspore and mindformers: at the
top of the script. Importing it imports neither; it registers hooks that patch a module right after
its own import. Names that other modules took from mindspore before that are rebound where they are
MindSpore's, MindFormers' or ``__main__``'s, and listed in a ``LatePatchWarning`` where they are not.

**What.** ``AutoModel.from_pretrained(directory)`` and its siblings load a HuggingFace Qwen3 directory,
``AutoTokenizer.from_pretrained(directory)`` gives its tokenizer;
``InferenceQwen3ForCausalLM.convert_weight_dict`` works; ``mindspore.load_checkpoint`` returns named
Parameters from safetensors; ``load_weights`` checks before it loads and verifies what it has loaded.

**Without the patches.** ``load_pretrained``, ``load_weights``, ``preflight`` and ``convert_weight_dict`` do the same by
their own names. What this module exports is public; every module below it is private.

**How to see.** ``mf_qwen3_patch.status()``.

**How to undo.** ``mf_qwen3_patch.deactivate()`` restores every original; ``MF_QWEN3_PATCH=0`` in the
environment keeps the import from doing anything; ``from_pretrained(..., auto_convert=False)`` is stock.

Examples:
    >>> import mf_qwen3_patch
    >>> from mindformers import AutoModel
    >>> model = AutoModel.from_pretrained("/path/to/Qwen3-14B")
"""

from __future__ import annotations

from mf_qwen3_patch import _safe_path  # noqa: F401  # isort: skip - first

import importlib
from typing import TYPE_CHECKING, Any

from mf_qwen3_patch import _log
from mf_qwen3_patch._version import __version__
from mf_qwen3_patch.activation import startup
from mf_qwen3_patch.activation.registry import REGISTRY, PatchStatus
from mf_qwen3_patch.cpu_kernels import disable as disable_cpu_kernels
from mf_qwen3_patch.cpu_kernels import enable as enable_cpu_kernels
from mf_qwen3_patch.errors import (
    CODES,
    ActivationError,
    CheckpointError,
    CheckpointWarning,
    ConfigMismatch,
    CorruptCheckpoint,
    DeviceUnavailable,
    IncompleteCheckpoint,
    InvalidValues,
    LatePatchWarning,
    LoadNotProven,
    PatchWarning,
    Problem,
    Qwen3PatchError,
    UnsupportedCheckpoint,
)
from mf_qwen3_patch.settings import Settings

if TYPE_CHECKING:
    from mf_qwen3_patch.checkpoint.checks.preflight import Preflight, preflight
    from mf_qwen3_patch.loading.pretrained import load_pretrained, load_weights
    from mf_qwen3_patch.loading.report import LoadReport
    from mf_qwen3_patch.loading.weight_dict import convert_weight_dict

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
    "LoadReport",
    "PatchStatus",
    "PatchWarning",
    "Preflight",
    "Problem",
    "Qwen3PatchError",
    "UnsupportedCheckpoint",
    "__version__",
    "activate",
    "convert_weight_dict",
    "deactivate",
    "disable_cpu_kernels",
    "enable_cpu_kernels",
    "load_pretrained",
    "load_weights",
    "preflight",
    "status",
]

# Imported when they are first asked for: most of them need MindFormers.
_LAZY = {
    "LoadReport": "loading.report",
    "Preflight": "checkpoint.checks.preflight",
    "convert_weight_dict": "loading.weight_dict",
    "load_pretrained": "loading.pretrained",
    "load_weights": "loading.pretrained",
    "preflight": "checkpoint.checks.preflight",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def activate() -> None:
    """Apply the patches: now, where the target is already imported, else as soon as it is.

    Importing the module has done this; it is needed only after ``deactivate()``, and after ``importlib.reload`` of a
    module that was patched. Calling it twice is calling it once. Any thread may call it: the last call of this and
    ``deactivate()`` holds.

    Raises:
        ActivationError: ``MF_QWEN3_PATCH=strict`` is set and a patch could not be applied.
    """
    settings = Settings.from_environment()
    _log.set_up(settings.log_level)
    if not settings.enabled:
        return
    if settings.cpu_kernels:
        enable_cpu_kernels()
    REGISTRY.activate(settings)


def deactivate() -> None:
    """Restore every original, and let hooks that have not fired do nothing when they do.

    What somebody else has put on top of a patch stays, and is named in a ``PatchWarning``; the patch inside it passes
    every call through to stock. A model that was built before keeps what its ``generate`` needs of the shim. The CPU
    stand-ins are a matter of their own: see ``disable_cpu_kernels``.

    Raises:
        ActivationError: A patch could not be reverted; all others are.
    """
    REGISTRY.deactivate()


def status() -> tuple[PatchStatus, ...]:
    """Return what became of each patch: its name, target module, state, and the reason if it is not applied.

    Examples:
        >>> [patch.name for patch in mf_qwen3_patch.status() if patch.state == "failed"]
        []
    """
    return REGISTRY.status()


def load_ipython_extension(ipython: object) -> None:
    """Let ``%load_ext mf_qwen3_patch`` activate the patches."""
    startup.note_way(startup.IPYTHON)
    activate()


def unload_ipython_extension(ipython: object) -> None:
    """Let ``%unload_ext mf_qwen3_patch`` restore every original."""
    deactivate()


activate()
