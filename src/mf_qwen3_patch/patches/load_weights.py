"""``load_weights`` of the inference classes, which run_mindformer.py uses: checked, fast and verified."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import weights_directory
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, inference_classes

_MIXIN = "mindformers.parallel_core.inference.model_utils:InferModelMixin"


def _checking(family: Family, stock: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(stock)
    def method(self: Any, weights_path: Any = None, weights: Any = None) -> None:
        from mf_qwen3_patch.loading.execute import discard_report
        from mf_qwen3_patch.loading.pretrained import load_weights

        directory = weights_directory(weights_path)
        if directory is not None:
            load_weights(self, directory, family=family)
            return
        discard_report(self)
        stock(self, weights_path, weights)

    return method


PATCH = MethodPatches(
    *(
        MethodPatch(cls, "load_weights", functools.partial(_checking, family), _MIXIN)
        for family, cls in inference_classes()
    )
)
