"""``from_pretrained``: from a HuggingFace Qwen3 directory to a loaded, proven inference model."""

from __future__ import annotations

import os
import warnings
from typing import Any

import mindspore
from mindspore import load_param_into_net

from mf_qwen3_patch.checkpoint.preflight import preflight
from mf_qwen3_patch.errors import CheckpointWarning
from mf_qwen3_patch.loading import conversion
from mf_qwen3_patch.loading.build import build_config, build_model
from mf_qwen3_patch.loading.context import ensure_inference_context, on_cpu
from mf_qwen3_patch.loading.families import QWEN3, Family

def load_pretrained(directory: str | os.PathLike[str], *, family: Family = QWEN3, **overrides: Any) -> Any:
    found = preflight(directory, overrides=overrides)
    found.raise_for_problems()
    for message in found.warnings:
        warnings.warn(message, CheckpointWarning, stacklevel=3)
    ensure_inference_context()
    values = dict(found.config)
    if on_cpu():
        values.update(compute_dtype="float32", params_dtype="float32", rotary_dtype="float32")
    config = build_config(values, family)
    model = build_model(config, family)
    weights = {}
    for file in found.checkpoint.files:
        weights.update(mindspore.load_checkpoint(str(file), format="safetensors"))
    params = conversion.convert_weight_dict(type(model), weights)
    print(load_param_into_net(model, params))
    return model
