"""``load_weights`` of the inference classes, which run_mindformer.py uses: checked, fast and proven."""

from __future__ import annotations

import functools
from typing import Any

from mindformers.parallel_core.inference.model_utils import InferModelMixin

from mf_qwen3_patch.checkpoint.files.directory import is_huggingface_directory
from mf_qwen3_patch.families.mindformers import Family
from mf_qwen3_patch.loading.converted_directory import is_converted_directory, load_converted
from mf_qwen3_patch.loading.pretrained import load_into
from mf_qwen3_patch.patches._families import first_reason, inference_classes
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_changes = AttributeChanges()


def _method(family: Family) -> Any:
    @functools.wraps(InferModelMixin.load_weights)
    def load_weights(self: Any, weights_path: Any = None, weights: Any = None) -> None:
        # Before the other: a converted directory has a config.json, too.
        if is_converted_directory(weights_path):
            load_converted(self, weights_path, family=family)
        elif is_huggingface_directory(weights_path):
            load_into(self, weights_path, family=family)
        else:
            InferModelMixin.load_weights(self, weights_path, weights)

    return load_weights


def supports() -> str | None:
    """Step aside if an inference class has a loader of its own."""
    return first_reason(_defined_upstream)


def _defined_upstream(family: Family) -> str | None:
    cls = family.load(family.inference_class)
    if defining_class(cls, "load_weights") is not InferModelMixin:
        return f"{cls.__name__}.load_weights is no longer InferModelMixin's"
    return None


def apply() -> None:
    """Define the method on the inference classes."""
    for family, cls in inference_classes():
        _changes.set(cls, "load_weights", _method(family))


def revert() -> None:
    """Delete it again."""
    _changes.restore()
