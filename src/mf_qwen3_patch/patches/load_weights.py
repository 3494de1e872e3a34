"""``load_weights`` of the inference classes, which run_mindformer.py uses: checked, fast and verified."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.directory import weights_directory
from mf_qwen3_patch.errors import IncompleteCheckpoint, Problem, error_for
from mf_qwen3_patch.patches._patcher import MethodPatches, around, inference_method

_MIXIN = "mindformers.parallel_core.inference.model_utils:InferModelMixin"


def load_weights(stock: Callable[..., Any], self: Any, weights_path: Any = None, weights: Any = None) -> None:
    """Load a directory; leave to stock weights of another kind, and a network with MindFormers' own quantization."""
    from mf_qwen3_patch.loading import pretrained
    from mf_qwen3_patch.loading.execute import discard_report

    directory = weights_directory(_directory_of_file(weights_path) or weights_path)
    if directory is not None and getattr(self, "quant_config", None) is None:
        pretrained.load_weights(self, directory)
        return
    discard_report(self)
    stock(self, weights_path, weights)


def _directory_of_file(path: Any) -> Path | None:
    """Return the directory of a safetensors file that is all of a checkpoint's weights; None for any other path.

    Raises IncompleteCheckpoint for one of several.
    """
    if not isinstance(path, (str, os.PathLike)) or not str(path).endswith(".safetensors"):
        return None
    file = Path(path)
    if not file.is_file():
        return None
    if (files := sorted(other.name for other in file.parent.glob("*.safetensors"))) != [file.name]:
        summary = f"{file.name} is one of {len(files)} weight files, and alone it is no checkpoint"
        where = {"file": file.name, "expected": "the directory of a checkpoint", "found": "one of its files"}
        advice = f"name the directory: {file.parent}"
        raise error_for([Problem(IncompleteCheckpoint, summary, **where, advice=advice)], str(file.parent))
    return file.parent


LOAD_WEIGHTS = MethodPatches(*inference_method("load_weights", around(load_weights), _MIXIN))
