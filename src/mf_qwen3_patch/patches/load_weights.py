"""``InferenceQwen3ForCausalLM.load_weights``, which run_mindformer.py uses: checked, fast and proven."""

from __future__ import annotations

import functools
from typing import Any

from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
from mindformers.parallel_core.inference.model_utils import InferModelMixin

from mf_qwen3_patch.checkpoint.directory import is_huggingface_directory
from mf_qwen3_patch.loading.converted import is_converted_directory, load_converted
from mf_qwen3_patch.loading.pretrained import load_into
from mf_qwen3_patch.patches._attributes import AttributeChanges, defining_class

_changes = AttributeChanges()


@functools.wraps(InferModelMixin.load_weights)
def _load_weights(self: Any, weights_path: Any = None, weights: Any = None) -> None:
    if is_huggingface_directory(weights_path):
        load_into(self, weights_path)
    elif is_converted_directory(weights_path):
        load_converted(self, weights_path)
    else:
        InferModelMixin.load_weights(self, weights_path, weights)


def supports() -> str | None:
    """Step aside if the inference class has a loader of its own."""
    if defining_class(InferenceQwen3ForCausalLM, "load_weights") is not InferModelMixin:
        return "InferenceQwen3ForCausalLM.load_weights is no longer InferModelMixin's"
    return None


def apply() -> None:
    """Define the method on the inference class."""
    _changes.set(InferenceQwen3ForCausalLM, "load_weights", _load_weights)


def revert() -> None:
    """Delete it again."""
    _changes.restore()
