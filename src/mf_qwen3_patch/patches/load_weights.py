"""``load_weights`` of the inference classes, which run_mindformer.py uses: checked, fast and verified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import weights_directory
from mf_qwen3_patch.patches._patcher import MethodPatches, around, inference_method

_MIXIN = "mindformers.parallel_core.inference.model_utils:InferModelMixin"


def load_weights(stock: Callable[..., Any], self: Any, weights_path: Any = None, weights: Any = None) -> None:
    """Load a directory; leave to stock weights of another kind, and a network with MindFormers' own quantization."""
    from mf_qwen3_patch.loading import pretrained
    from mf_qwen3_patch.loading.execute import discard_report

    directory = weights_directory(weights_path)
    if directory is not None and getattr(self, "quant_config", None) is None:
        pretrained.load_weights(self, directory)
        return
    discard_report(self)
    stock(self, weights_path, weights)


LOAD_WEIGHTS = MethodPatches(*inference_method("load_weights", around(load_weights), _MIXIN))
