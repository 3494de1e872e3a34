"""``load_weights`` of the inference classes, which run_mindformer.py uses: checked, fast and verified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import directory_of
from mf_qwen3_patch.checkpoint.location.find_weights import find_weights
from mf_qwen3_patch.patches._patcher import MethodPatches, around, inference_method

_MIXIN = "mindformers.parallel_core.inference.model_utils:InferModelMixin"


def load_weights(stock: Callable[..., Any], self: Any, weights_path: Any = None, weights: Any = None) -> None:
    """Load a directory, or weights that are handed over; leave MindFormers' own files to stock, and its quantization.

    As in stock, a directory goes before weights.
    """
    from mf_qwen3_patch.loading import given_weights, pretrained
    from mf_qwen3_patch.loading.execute import discard_report

    if getattr(self, "quant_config", None) is None:
        if weights is not None and (not weights_path or directory_of(weights_path) is None):
            given_weights.load_given(self, weights)
            return
        if not weights_path:
            raise ValueError("load_weights needs a directory or weights=, and got neither")
        directory = find_weights(weights_path)
        if directory is not None:
            pretrained.load_weights(self, directory)
            return
    discard_report(self)
    stock(self, weights_path, weights)


LOAD_WEIGHTS = MethodPatches(*inference_method("load_weights", around(load_weights), _MIXIN))
