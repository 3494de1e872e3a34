"""MindFormers' own loader under our checks, for what ours does not know: quantized layers, 310P, expert parallelism."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import mindspore
import numpy as np

from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import QuantizedTensor
from mf_qwen3_patch.errors import LoadNotProven, Problem, UnsupportedCheckpoint, error_for, some
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, Array
from mf_qwen3_patch.loading.transfer.plan import Plan
from mf_qwen3_patch.loading.transfer.planner import plan, plan_for_verification
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible


def plan_with_fallback(
    model: Any, tensors: Mapping[str, TensorInfo], family: Family, left_out: Collection[str] = frozenset()
) -> Plan:
    """Plan the load as ``plan`` does, or by MindFormers' own loader.

    That can leave nothing out (ValueError), and computes nothing (UnsupportedCheckpoint).
    """
    try:
        return plan(model, tensors, family, left_out=left_out)
    except PlanNotPossible as reason:
        if left_out:
            raise ValueError(f"ignore_mismatched_sizes=True can't be done here: {reason}") from reason
        computed = next((tensor for tensor in tensors.values() if isinstance(tensor, ComputedTensor)), None)
        if computed is not None:
            raise error_for([_not_computed(computed, reason)], str(computed.file.parent)) from reason
        return plan_for_verification(model, tensors, family, str(reason))


def _not_computed(tensor: ComputedTensor, reason: PlanNotPossible) -> Problem:
    method, wanted = tensor.encoding.method, "weights in BF16, F16 or F32"
    what = "are quantized" if isinstance(tensor, QuantizedTensor) else "have an adapter"
    does = "dequantizes" if isinstance(tensor, QuantizedTensor) else "merges"
    summary = f"the weights {what} ({method}), and MindFormers' own loader, which {does} nothing, is needed"
    advice = f"convert the directory with --layout training, and load the result ({reason})"
    where = {"file": tensor.file.name, "tensor": tensor.name}
    return Problem(UnsupportedCheckpoint, summary, **where, expected=wanted, found=method, advice=advice)


def fresh_memory(model: Any) -> dict[str, Array]:
    """Return new host memory for every parameter of a network, by name.

    MindFormers writes into ``param.asnumpy()``: of a parameter that has moved to a device that is a copy, so that a
    second load would change some parameters and leave others. Memory of the host's own takes what is written.
    """
    memory = {}
    for name, parameter in network_parameters(model).items():
        dtype = str(parameter.dtype).lower()
        native = TARGET_DTYPES[dtype] if dtype in TARGET_DTYPES else mindspore.dtype_to_nptype(parameter.dtype)
        memory[name] = np.zeros(tuple(parameter.shape), native)
    return memory


def load_with_mindformers(model: Any, files: Sequence[Path]) -> None:
    """Load with MindFormers' ``weight_loader`` methods.

    Unlike its ``load_weights(directory)`` this reads the given files, not whatever ends in ``.safetensors``, and raises
    LoadNotProven for parameters that were not loaded, which stock only logs.
    """
    paths = [str(file) for file in files]
    _forget_earlier_parts(model)
    loaded = model.model.load_weights(
        model._safetensors_weights_iterator(paths), model.generate_mapping(), model.check_hf_weight(weights_files=paths)
    )
    _format_whole_parameters(model)
    model.process_weights_after_loading(model.model)
    names = network_parameters(model).keys()
    if missing := sorted(names - set(loaded)):
        what = f"{len(missing)} of {len(names)} parameters: {some(missing, 5, ' and {} more')}"
        raise LoadNotProven(f"MindFormers' own loader did not load {what}")


def _forget_earlier_parts(model: Any) -> None:
    """Have every layer count anew the parts of a fused parameter that it gets.

    On an Ascend 310P a layer formats a fused parameter when its last part has come. What an earlier load has left in
    the count would make it the last but one, and the one that follows would be written into a copy.
    """
    for layer in _counting_layers(model):
        layer.param_load_counts.clear()


def _format_whole_parameters(model: Any) -> None:
    """Bring fused parameters that came whole into the card's format: their layers still wait for further parts."""
    for layer in _counting_layers(model):
        if layer.param_load_counts:
            layer.param_load_counts.clear()
            layer.format_to_nz(layer.weight)


def _counting_layers(model: Any) -> list[Any]:
    return [cell for _, cell in model.cells_and_names() if hasattr(cell, "param_load_counts")]
