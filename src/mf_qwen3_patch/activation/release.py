"""Recognize a MindFormers release that the patches were not made for.

Asked before any of them is imported, and answered by what is there, not by version numbers: a patched
release says the same of itself tomorrow, whatever it will be called.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec

_PACKAGE = "mindformers.models.qwen3"
_ADVICE = "nothing was patched; use MindFormers 1.7.0, 1.8.0 or 1.9.0"


@cache
def unsupported() -> str | None:
    """Return why no patch can be applied to this MindFormers, None if they can.

    What the patches build upon must be there. What else there is does not matter: 1.9.0 already has the
    ``weight_converters`` of the 2.x sources beside it.
    """
    for module, what in (
        ("modeling_qwen3_infer", "no inference class for Qwen3"),
        ("modeling_qwen3_train", "no training class for Qwen3, as in 1.6.0 and before, whose conversion is needed"),
    ):
        if not _exists(f"{_PACKAGE}.{module}"):
            return f"this MindFormers has {what}; {_ADVICE}"
    base = importlib.import_module(f"{_PACKAGE}.utils").Qwen3PreTrainedModel
    if not hasattr(base, "weight_mapping"):
        return f"this MindFormers does not say by weight_mapping what HuggingFace's weights are called in it; {_ADVICE}"
    training_class = importlib.import_module(f"{_PACKAGE}.modeling_qwen3_train").TrainingQwen3ForCausalLM
    if "convert_weight_dict" not in vars(training_class):
        return f"this MindFormers' training class for Qwen3 has no convert_weight_dict of its own; {_ADVICE}"
    return None


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package
        return False
