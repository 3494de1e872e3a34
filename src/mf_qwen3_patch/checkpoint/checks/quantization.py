"""Quantized weights that are not dequantized, each refused by the right name of its method."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mf_qwen3_patch.checkpoint.config.problem import field_problem
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.quantization.dequantize import METHODS, QUANTIZATION_KEY, quant_method
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.registry import is_known

LOADABLE_DTYPES = frozenset({"F64", "F32", "F16", "BF16"})
"""Dtypes whose values mean what they say; others are quantized and need their scales."""

_ORIGINAL = "download the original bfloat16 checkpoint of the same model, e.g. Qwen/Qwen3-14B"
_ALLOW = "leave dequantize=False and MF_QWEN3_PATCH_DEQUANTIZE=0 away, and they are dequantized as they are loaded"
_PUT_BACK = f"put the {QUANTIZATION_KEY} back into {CONFIG_NAME}, which says how to dequantize them"
_SHOWN = 60


class _Method(NamedTuple):
    """A method of quantization: its name, what its tensors' names end with, and what to do."""

    title: str
    tensors: re.Pattern[str]
    advice: str


# By the quant_method of config.json; the first whose tensors are there is it, where config.json says nothing.
_METHODS: Mapping[str, _Method] = {
    "msmodelslim": _Method(
        "msModelSlim",
        re.compile(r".*\.(weight_offset|deq_scale|quant_bias|input_offset)"),
        "build the model with MindFormers' own quantization, as its documentation says for these weights, or download "
        "the original checkpoint",
    ),
    "mlx": _Method(
        "MLX",
        re.compile(r".*\.biases"),
        "dequantize it with `mlx_lm.convert --dequantize` on a Mac, or download the original checkpoint",
    ),
    "bitsandbytes": _Method(
        "bitsandbytes",
        re.compile(r".*\.(absmax|quant_map|SCB|nested_absmax|nested_quant_map|quant_state\..*)"),
        "load it with transformers, call model.dequantize() and save_pretrained(), or download the original checkpoint",
    ),
    "hqq": _Method("HQQ", re.compile(r".*\.W_q"), _ORIGINAL),
    "eetq": _Method("EETQ", re.compile(r".*\.weight_scales"), _ORIGINAL),
    "gguf": _Method("GGUF", re.compile(r"(?!)"), _ORIGINAL),
    "fp8": _Method("FP8 (block scales)", re.compile(r".*\.weight_scale_inv"), _PUT_BACK),
    "gptq": _Method("GPTQ or AWQ", re.compile(r".*\.(qweight|qzeros|scales|g_idx)"), _PUT_BACK),
    "compressed-tensors": _Method(
        "compressed-tensors", re.compile(r".*\.weight_(scale|packed|zero_point|shape|g_idx|global_scale)"), _PUT_BACK
    ),
}
_DESCRIPTION = re.compile(r"quant_model_description.*\.json")


def quantization_of(name: str) -> str | None:
    """Return which quantization a tensor of this name belongs to (its scales and so on), None if to none."""
    return next((method.title for method in _METHODS.values() if method.tensors.fullmatch(name)), None)


def quantization_problem(checkpoint: Checkpoint) -> Problem | None:
    """Return why weights that are still quantized can't be loaded, or say so of a config that only claims that."""
    declared = None if checkpoint.dequantized else _declared(checkpoint)
    witness = next(_witnesses(checkpoint), None)
    if witness is None:
        # Without any such tensor, transformers minds no other sign than this.
        return None if declared is None or checkpoint.config.get(QUANTIZATION_KEY) is None else _claimed(declared)
    info, method = witness
    title, advice = method.title, method.advice
    if declared is not None:
        known = _METHODS.get(declared.lower())
        title = known.title if known and declared not in METHODS else declared
        advice = _ALLOW if declared in METHODS else known.advice if known else _ORIGINAL
    summary = f"the weights are quantized ({title}); without their scales they would load as garbage"
    found = f"{info.dtype} {list(info.shape)}"
    details = {"expected": "weights in BF16, F16 or F32", "found": found, "advice": advice}
    return Problem(UnsupportedCheckpoint, summary, info.file.name, info.name, field=QUANTIZATION_KEY, **details)


def _declared(checkpoint: Checkpoint) -> str | None:
    """Return the method that the directory names, None if it names none."""
    if any(map(_DESCRIPTION.fullmatch, checkpoint.listing)):
        return "msmodelslim"
    config = checkpoint.config
    if QUANTIZATION_KEY not in config:
        quantization: Any = config.get("quantization")
        return "mlx" if isinstance(quantization, dict) and "bits" in quantization else None
    method, value = quant_method(config), config[QUANTIZATION_KEY]
    if method is not None or value is None:
        return method and method[:_SHOWN]
    if isinstance(value, dict):
        return "mlx" if {"bits", "group_size"} <= value.keys() and "quantization" in config else "unnamed"
    return str(value)[:_SHOWN]


def _witnesses(checkpoint: Checkpoint) -> Iterator[tuple[TensorInfo, _Method]]:
    """Yield tensors that show a quantization, the most telling first."""
    tensors = checkpoint.tensors
    for method in _METHODS.values():
        yield from ((tensors[name], method) for name in checkpoint.unknown_names if method.tensors.fullmatch(name))
    for name, info in tensors.items():
        if info.dtype not in LOADABLE_DTYPES and is_known(checkpoint.names[name]):
            title = "FP8" if info.dtype.startswith("F8") else f"of dtype {info.dtype}"
            yield info, _Method(title, re.compile("(?!)"), _ORIGINAL)


def _claimed(method: str) -> Problem:
    summary = f"says that the weights are quantized ({method}), but no tensor is"
    advice = f"remove {QUANTIZATION_KEY} if the weights were dequantized or merged; else these are not the weights"
    wanted = f"no {QUANTIZATION_KEY}"
    return field_problem(UnsupportedCheckpoint, CONFIG_NAME, QUANTIZATION_KEY, summary, wanted, method, advice)
