"""The releases that the shim was tested with, and those that it cannot patch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec

# What the test suite ran on, as whole stacks: versions of a stack that fit together.
TESTED_STACKS: tuple[Mapping[str, str], ...] = (
    {"mindformers": "1.7.0", "mindspore": "2.7.1"},
    {"mindformers": "1.8.0", "mindspore": "2.7.2"},
    {"mindformers": "1.9.0", "mindspore": "2.9.0"},
    {"mindformers": "2.0.0", "mindspore": "2.10.0"},
    {"mindformers": "2.1.0", "mindspore": "2.10.0"},
)
_QWEN3 = "mindformers.models.qwen3"


def is_tested(versions: Mapping[str, str | None]) -> bool:
    """Return whether these versions of MindFormers and MindSpore were tested together."""
    return any(stack.items() <= versions.items() for stack in TESTED_STACKS)


@cache
def unsupported() -> str | None:
    """Return why no patch can be applied to this MindFormers, None if they can.

    Asked before any of them is imported, and answered by what is there, not by version numbers: a patched release says
    the same of itself tomorrow, whatever it will be called. What the patches build upon must be there. What else there
    is does not matter: 1.9.0 already has the ``weight_converters`` of the 2.x sources beside it.
    """
    reason = _missing()
    *tested, last = (stack["mindformers"] for stack in TESTED_STACKS)
    advice = f"nothing was patched; use MindFormers {', '.join(tested)} or {last}"
    return f"this MindFormers{reason}; {advice}" if reason else None


def _missing() -> str | None:
    if not _exists(f"{_QWEN3}.modeling_qwen3_infer"):
        return " has no inference class for Qwen3"
    if not _exists(f"{_QWEN3}.modeling_qwen3_train"):
        return " has no training class for Qwen3, as in 1.6.0 and before, whose conversion is needed"
    if not hasattr(importlib.import_module(f"{_QWEN3}.utils").Qwen3PreTrainedModel, "weight_mapping"):
        return " does not say by weight_mapping what HuggingFace's weights are called in it"
    training_class = importlib.import_module(f"{_QWEN3}.modeling_qwen3_train").TrainingQwen3ForCausalLM
    if "convert_weight_dict" not in vars(training_class):
        return "' training class for Qwen3 has no convert_weight_dict of its own"
    return None


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package
        return False
