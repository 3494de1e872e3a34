"""A checkpoint with quantized weights, seen as one whose weights are not: names, shapes and dtypes of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import STORED_NAMES, TensorInfo
from mf_qwen3_patch.checkpoint.quantization.awq import Awq
from mf_qwen3_patch.checkpoint.quantization.compressed_tensors import CompressedTensors
from mf_qwen3_patch.checkpoint.quantization.fp8 import Fp8
from mf_qwen3_patch.checkpoint.quantization.gptq import Gptq
from mf_qwen3_patch.checkpoint.quantization.method import Method, Misfit, QuantizedLayer, UnusableSetting
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import QuantizedTensor
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint, some
from mf_qwen3_patch.families.registry import is_known

QUANTIZATION_KEY = "quantization_config"

METHODS: Mapping[str, type[Method]] = {"fp8": Fp8, "gptq": Gptq, "awq": Awq, "compressed-tensors": CompressedTensors}
"""By the ``quant_method`` of config.json."""

_WEIGHT = "weight"
_ORIGINAL = "download the checkpoint again, or the original bfloat16 checkpoint of the same model"


def quant_method(config: Mapping[str, Any]) -> str | None:
    """Return which method a raw config names, None if it names none."""
    declared = config.get(QUANTIZATION_KEY)
    method = declared.get("quant_method") if isinstance(declared, dict) else None
    return method if isinstance(method, str) else None


def dequantized(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with each quantized weight as the tensor that it stands for, its scales being part of it.

    If the method is not known here, or no weight is quantized, it is the same checkpoint. What is wrong with the
    settings or the scales is added to its problems, and the weights that can't be dequantized for it count as lost.
    """
    known = METHODS.get(quant_method(checkpoint.config) or "")
    if known is None:
        return checkpoint
    layers, others = _layers(checkpoint, known)
    quantized = [layer for layer in layers if known.is_quantized(layer)]
    if not quantized:
        return checkpoint
    plain = {f"{layer.name}.{part}": tensor for layer in layers for part, tensor in layer.parts.items()}
    for layer in quantized:
        for part in layer.parts:
            del plain[f"{layer.name}.{part}"]
    lost = {_logical_name(name, known) for name in checkpoint.lost}
    # With a file that is missing or damaged a part of a layer may have gone: that file is the problem.
    whole = [layer for layer in quantized if f"{layer.name}.{_WEIGHT}" not in lost]
    tensors, problems = _dequantized(checkpoint, known, whole)
    lost |= {f"{layer.name}.{_WEIGHT}" for layer in whole} - tensors.keys()
    return replace(
        checkpoint,
        tensors={**others, **plain, **tensors},
        lost=frozenset(lost),
        problems=(*checkpoint.problems, *problems),
        dequantized=known.title,
    )


def _dequantized(
    checkpoint: Checkpoint, known: type[Method], layers: Sequence[QuantizedLayer]
) -> tuple[dict[str, TensorInfo], list[Problem]]:
    """Return the weights of quantized layers, and what is wrong with those that are not among them."""
    try:
        method = known.of(checkpoint.config[QUANTIZATION_KEY])
    except UnusableSetting as error:
        return {}, [_unusable(known, error)]
    tensors: dict[str, TensorInfo] = {}
    misfits, dtype = [], _own_dtype(checkpoint)
    for layer in layers:
        try:
            encoding = method.encoding(layer)
        except Misfit as misfit:
            misfits.append((layer, misfit))
            continue
        name, codes = f"{layer.name}.{_WEIGHT}", encoding.codes.tensor
        nbytes = sum(tensor.nbytes for tensor in layer.parts.values())
        tensors[name] = QuantizedTensor(name, dtype, encoding.shape, codes.file, codes.offset, nbytes, encoding)
    # Of what a missing file without an index held nothing is known.
    return tensors, [] if checkpoint.lost_unknown else _about(misfits, len(layers))


def _layers(checkpoint: Checkpoint, method: type[Method]) -> tuple[list[QuantizedLayer], dict[str, TensorInfo]]:
    """Group the tensors that the method may have made by their layers; also return all others."""
    layers: dict[str, dict[str, TensorInfo]] = {}
    others: dict[str, TensorInfo] = {}
    for name, tensor in checkpoint.tensors.items():
        layer, _, part = name.rpartition(".")
        if part in method.needless:
            continue
        if part in method.parts and is_known(f"{layer}.{_WEIGHT}"):
            layers.setdefault(layer, {})[part] = tensor
        else:
            others[name] = tensor
    return [QuantizedLayer(name, parts) for name, parts in layers.items()], others


def _logical_name(name: str, method: type[Method]) -> str:
    layer, _, part = name.rpartition(".")
    return f"{layer}.{_WEIGHT}" if part in method.parts else name


def _own_dtype(checkpoint: Checkpoint) -> str:
    """Return the dtype that the weights had before: the config's, else that of the largest tensor that has one."""
    for key in ("dtype", "torch_dtype"):
        declared = checkpoint.config.get(key)
        if isinstance(declared, str) and (stored := STORED_NAMES.get(declared.removeprefix("torch."))):
            return stored
    plain = (info for info in checkpoint.tensors.values() if info.dtype in ("BF16", "F16") and len(info.shape) == 2)
    largest = max(plain, key=lambda info: info.nbytes, default=None)
    return "BF16" if largest is None else largest.dtype


def _unusable(method: type[Method], error: UnusableSetting) -> Problem:
    return Problem(
        UnsupportedCheckpoint,
        f"{CONFIG_NAME} describes weights quantized by {method.title} in a way that is not known here ({error})",
        file=CONFIG_NAME,
        field=f"{QUANTIZATION_KEY}.{error.field}",
        expected=error.expected,
        found=error.found,
        advice=_ORIGINAL,
    )


def _about(misfits: Sequence[tuple[QuantizedLayer, Misfit]], quantized: int) -> list[Problem]:
    """Return one problem for each kind of misfit; one that all quantized layers have is the setting's."""
    groups: dict[tuple[str, str], list[tuple[QuantizedLayer, Misfit]]] = {}
    for layer, misfit in misfits:
        groups.setdefault((misfit.part, misfit.summary), []).append((layer, misfit))
    problems = []
    for found in groups.values():
        layer, misfit = found[0]
        present = layer.parts.get(misfit.part) or next(iter(layer.parts.values()))
        name, count = f"{layer.name}.{misfit.part}", len(found)
        more = some([f"{other.name}.{misfit.part}" for other, _ in found[1:]], 2, " and {} more")
        field = misfit.field if count > 1 and count == quantized else None
        problems.append(
            Problem(
                ConfigMismatch if field else misfit.kind,
                f"{name} {misfit.summary}" + (f"; so it is with {more}" if more else ""),
                file=CONFIG_NAME if field else present.file.name,
                tensor=name,
                field=field and f"{QUANTIZATION_KEY}.{field}",
                expected=misfit.expected,
                found=misfit.found,
                advice=f"put the {QUANTIZATION_KEY} back that belongs to these weights" if field else _ORIGINAL,
            )
        )
    return problems
