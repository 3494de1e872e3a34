"""Biases of the attention, which MindFormers' Qwen3 can't have: whether they say anything."""

from __future__ import annotations

from collections.abc import Sequence

from mf_qwen3_patch.checkpoint.checks.inferred_dims import Comparison
from mf_qwen3_patch.checkpoint.files.compare import is_zero
from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import CheckpointError, Problem

_FIELD = "attention_bias"


def attention_biases(compared: Comparison) -> list[TensorInfo]:
    """Return the biases that are stored, all together, unless every one of them is zero."""
    names, roles = compared.checkpoint.names, compared.config.family.biases
    found = [
        info
        for name, info in compared.checkpoint.tensors.items()
        if names[name].layer is not None and names[name].role in roles
    ]
    try:
        return found if any(_says_something(compared, bias) for bias in found) else []
    except CheckpointError:  # a file that can't be read is a problem of its own
        return found


def _says_something(compared: Comparison, bias: TensorInfo) -> bool:
    readable = bias.dtype in ("F64", "F32", "F16", "BF16") and not isinstance(bias, ComputedTensor)
    return not (readable and is_zero(bias, compared.checkpoint.file))


def without_needless_bias(problems: Sequence[Problem], compared: Comparison) -> list[Problem]:
    """Leave out that the config asks for biases, if all that are stored are zero.

    HuggingFace's model starts those that are not stored with zeros. Of those in a missing file nothing is known.
    """
    checkpoint = compared.checkpoint
    if checkpoint.config.get(_FIELD) is not True or checkpoint.lost or checkpoint.lost_unknown:
        return list(problems)
    if not any(problem.field == _FIELD for problem in problems) or attention_biases(compared):
        return list(problems)
    return [problem for problem in problems if problem.field != _FIELD]
