"""``load_weights`` of the inference classes, which run_mindformer.py uses: checked, fast and proven."""

from __future__ import annotations

import functools
from typing import Any

from mindformers.parallel_core.inference.model_utils import InferModelMixin

from mf_qwen3_patch.checkpoint.files.directory import weights_directory
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading import pretrained
from mf_qwen3_patch.loading.execute import no_stale_report
from mf_qwen3_patch.patches._families import first_reason, inference_classes
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_changes = AttributeChanges()


def _method(family: Family) -> Any:
    @functools.wraps(InferModelMixin.load_weights)
    def load_weights(self: Any, weights_path: Any = None, weights: Any = None) -> None:
        directory = weights_directory(weights_path)
        if directory is not None:
            pretrained.load_weights(self, directory, family=family)
            return
        with no_stale_report(self):
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
