"""Faults of quantized checkpoints: those that the headers show, and those that only the values do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.faults.fault import Fault
from tests.support.checkpoints import Raw, Tensors, edit_config, edit_weights, read_json, zeros
from tests.support.quantized import KINDS, compressed_config, quantize_checkpoint

from mf_qwen3_patch.errors import (
    CheckpointError,
    ConfigMismatch,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    InvalidValues,
    UnsupportedCheckpoint,
)

__all__ = ["HEADER_FAULTS", "VALUE_FAULTS", "ValueFault"]

FP8, GPTQ, AWQ, PACKED = "FP8, blocks", "GPTQ", "AWQ", "compressed-tensors, INT4"
LAYER = "model.layers.1.mlp.up_proj"
OTHER = "model.layers.1.mlp.down_proj"
KEY = "quantization_config"


def quantized(kind: str, change: Callable[[Tensors], object]) -> Callable[[Path], None]:
    """Quantize the checkpoint, then break its tensors."""

    def make(directory: Path) -> None:
        quantize_checkpoint(directory, *KINDS[kind])
        edit_weights(directory, change)

    return make


def configured(kind: str, **changes: Any) -> Callable[[Path], None]:
    """Quantize the checkpoint, then change what config.json says of it; None removes a key."""

    def make(directory: Path) -> None:
        quantize_checkpoint(directory, *KINDS[kind])
        config = read_json(directory / "config.json")[KEY] | changes
        edit_config(directory, quantization_config={key: value for key, value in config.items() if value is not None})

    return make


def without(name: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.pop(name)


def cut(name: str, rows: int) -> Callable[[Tensors], object]:
    """Leave only the first rows of a tensor."""

    def change(tensors: Tensors) -> None:
        raw = tensors[name]
        each = len(raw.data) // raw.shape[0]
        tensors[name] = Raw(raw.dtype, (rows, *raw.shape[1:]), raw.data[: rows * each])

    return change


def instead(name: str, other: str) -> Callable[[Tensors], object]:
    """Put another tensor in the place of one."""
    return lambda tensors: tensors.update({name: tensors[other]})


def plain_config(directory: Path) -> None:
    quantize_checkpoint(directory, *KINDS[FP8])
    edit_config(directory, KEY)


def of_another_method(suffix: str, dtype: str, quantization: Any = None) -> Callable[[Path], None]:
    """Add a tensor as another method stores it, and name that method in config.json."""

    def make(directory: Path) -> None:
        edit_weights(directory, lambda tensors: tensors.update({f"{LAYER}.{suffix}": zeros(4, 4, dtype=dtype)}))
        if quantization is not None:
            edit_config(directory, quantization_config=quantization)

    return make


def mlx(directory: Path) -> None:
    of_another_method("biases", "F16")(directory)
    edit_config(directory, quantization={"group_size": 64, "bits": 4})


def modelslim(directory: Path) -> None:
    of_another_method("deq_scale", "F32")(directory)
    (directory / "quant_model_description_w8a8.json").write_text("{}")


HEADER_FAULTS = (
    Fault("FP8 without a scale", quantized(FP8, without(f"{LAYER}.weight_scale_inv")), IncompleteCheckpoint,
          (f"{LAYER}.weight_scale_inv is in no file", "only weight")),
    Fault("FP8 with the scale of another tensor",
          quantized(FP8, instead(f"{LAYER}.weight_scale_inv", f"{OTHER}.weight_scale_inv")), CorruptCheckpoint,
          (f"{LAYER}.weight_scale_inv does not fit", "expected: [6, 3]", "found: [5, 3]")),
    Fault("FP8 with another block size", configured(FP8, weight_block_size=[32, 32]), ConfigMismatch,
          ("config.json", "quantization_config.weight_block_size", "weight_scale_inv", "and 11 more")),
    Fault("FP8 with an impossible block size", configured(FP8, weight_block_size=[0, 128]), UnsupportedCheckpoint,
          ("config.json", "weight_block_size", "[0, 128]")),
    Fault("FP8 of another format", configured(FP8, fmt="e5m2"), UnsupportedCheckpoint,
          ("config.json", "FP8", "quantization_config.fmt", "e5m2")),
    Fault("FP8 weights in BF16 with scales", quantized(FP8, lambda tensors: tensors.update(
          {f"{LAYER}.weight": zeros(96, 80, dtype="BF16")})), CorruptCheckpoint,
          (f"{LAYER}.weight is not what the method stores", "F8_E4M3", "BF16 [96, 80]")),
    Fault("FP8 without its quantization_config", plain_config, UnsupportedCheckpoint,
          ("FP8", "weight_scale_inv", "put the quantization_config back")),
    Fault("FP8 scales whose weight is missing", quantized(FP8, without(f"{LAYER}.weight")), IncompleteCheckpoint,
          (f"{LAYER}.weight is in no file", "only weight_scale_inv")),
    Fault("GPTQ with unknown bits", configured(GPTQ, bits=3), UnsupportedCheckpoint,
          ("GPTQ", "quantization_config.bits", "expected: 4 or 8, found: 3")),
    Fault("GPTQ without bits", configured(GPTQ, bits=None), UnsupportedCheckpoint,
          ("GPTQ", "quantization_config.bits", "found: none")),
    Fault("GPTQ with another group size", configured(GPTQ, group_size=32), ConfigMismatch,
          ("config.json", "quantization_config.group_size", "scales", "and 11 more")),
    Fault("GPTQ of 8 bits that says 4", configured("GPTQ, 8 bits, one group", bits=4), ConfigMismatch,
          ("config.json", "quantization_config.bits", "g_idx")),
    Fault("GPTQ of an unknown format", configured(GPTQ, checkpoint_format="marlin"), UnsupportedCheckpoint,
          ("GPTQ", "checkpoint_format", '"marlin"', "gptq or gptq_v2")),
    Fault("GPTQ that names two formats", configured(GPTQ, checkpoint_format="gptq", format="gptq_v2"),
          UnsupportedCheckpoint, ("GPTQ", "checkpoint_format", "gptq", "gptq_v2")),
    Fault("GPTQ with settings by layer", configured(GPTQ, dynamic={".*down.*": {"bits": 8}}), UnsupportedCheckpoint,
          ("GPTQ", "quantization_config.dynamic", ".*down.*")),
    Fault("GPTQ without zeros", quantized(GPTQ, without(f"{LAYER}.qzeros")), IncompleteCheckpoint,
          (f"{LAYER}.qzeros is in no file",)),
    Fault("GPTQ with truncated integers", quantized(GPTQ, cut(f"{LAYER}.qweight", 8)), CorruptCheckpoint,
          (f"{LAYER}.g_idx does not fit", "expected: [64, 1]", "found: [80]")),
    Fault("AWQ of the gemv version", configured(AWQ, version="gemv"), UnsupportedCheckpoint,
          ("AWQ", "quantization_config.version", 'expected: gemm, found: "gemv"')),
    Fault("AWQ of another backend", configured(AWQ, backend="llm-awq"), UnsupportedCheckpoint,
          ("AWQ", "quantization_config.backend", "llm-awq")),
    Fault("AWQ with another group size", configured(AWQ, group_size=8), ConfigMismatch,
          ("config.json", "quantization_config.group_size", "scales")),
    Fault("AWQ without a group size", configured(AWQ, group_size=None), UnsupportedCheckpoint,
          ("AWQ", "quantization_config.group_size", "found: none")),
    Fault("AWQ with truncated integers", quantized(AWQ, cut(f"{LAYER}.qweight", 32)), CorruptCheckpoint,
          (f"{LAYER}.scales does not fit", "expected: [2, 96]", "found: [5, 96]")),
    Fault("packed integers without a scale", quantized(PACKED, without(f"{LAYER}.weight_scale")), IncompleteCheckpoint,
          (f"{LAYER}.weight_scale is in no file",)),
    Fault("packed integers, truncated", quantized(PACKED, cut(f"{LAYER}.weight_packed", 90)), CorruptCheckpoint,
          (f"{LAYER}.weight_scale does not fit", "expected: [90, 10]", "found: [96, 10]")),
    Fault("compressed-tensors of an unknown format", configured(PACKED, format="nvfp4-pack-quantized"),
          UnsupportedCheckpoint, ("compressed-tensors", "quantization_config.format", "nvfp4-pack-quantized")),
    Fault("compressed-tensors without groups", configured(PACKED, config_groups=None), UnsupportedCheckpoint,
          ("compressed-tensors", "config_groups", "none")),
    Fault("compressed-tensors with other bits",
          configured(PACKED, **compressed_config("pack-quantized", num_bits=3, strategy="group", group_size=8)),
          UnsupportedCheckpoint, ("compressed-tensors", "num_bits", "int 3")),
    Fault("compressed-tensors with another group size",
          configured(PACKED, **compressed_config("pack-quantized", num_bits=4, strategy="group", group_size=16)),
          ConfigMismatch, ("config.json", "config_groups", "weight_scale")),
    Fault("compressed-tensors, sparse", configured(PACKED, sparsity_config={"format": "sparse-24-bitmask"}),
          UnsupportedCheckpoint, ("compressed-tensors", "sparsity_config", "sparse-24-bitmask")),
    Fault("compressed-tensors with transforms", configured(PACKED, transform_config={"config_groups": {"R1": {}}}),
          UnsupportedCheckpoint, ("compressed-tensors", "transform_config")),
    Fault("compressed-tensors, not compressed", configured(PACKED, quantization_status="frozen"),
          UnsupportedCheckpoint, ("compressed-tensors", "quantization_status", "frozen")),
    Fault("msModelSlim", modelslim, UnsupportedCheckpoint,
          ("quantized (msModelSlim)", "deq_scale", "MindFormers' own quantization")),
    Fault("MLX", mlx, UnsupportedCheckpoint, ("quantized (MLX)", "biases", "mlx_lm.convert --dequantize")),
    Fault("HQQ", of_another_method("W_q", "U8", {"quant_method": "hqq"}), UnsupportedCheckpoint,
          ("quantized (HQQ)", "W_q", "original")),
    Fault("EETQ", of_another_method("weight_scales", "F16", {"quant_method": "eetq"}), UnsupportedCheckpoint,
          ("quantized (EETQ)", "weight_scales", "original")),
    Fault("bitsandbytes, declared", of_another_method("weight.absmax", "U8", {"quant_method": "bitsandbytes"}),
          UnsupportedCheckpoint, ("quantized (bitsandbytes)", "absmax", "dequantize()")),
    Fault("an unknown method", of_another_method("weight_scale", "F16", {"quant_method": "quark"}),
          UnsupportedCheckpoint, ("quantized (quark)", "weight_scale", "original")),
    Fault("a method that is claimed only",
          lambda directory: edit_config(directory, quantization_config={"quant_method": "bitsandbytes"}),
          UnsupportedCheckpoint, ("bitsandbytes", "no tensor is", "remove quantization_config")),
)  # fmt: skip


@dataclass(frozen=True)
class ValueFault:
    """A fault that only the values show; ``make`` breaks a good directory in place."""

    name: str
    make: Callable[[Path], None]
    error: type[CheckpointError]
    says: tuple[str, ...]


def filled(name: str, value: float) -> Callable[[Tensors], object]:
    """Give a tensor one bad value, the last."""

    def change(tensors: Tensors) -> None:
        raw = tensors[name]
        dtype = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "F8_E4M3": np.uint8}[raw.dtype]
        values = np.frombuffer(raw.data, dtype).copy()
        values[-1] = value
        tensors[name] = Raw(raw.dtype, raw.shape, values.tobytes())

    return change


SCALE = f"{LAYER}.weight_scale_inv"

VALUE_FAULTS = (
    ValueFault("a scale is NaN", quantized(FP8, filled(SCALE, np.nan)), InvalidValues, (SCALE, "NaN or infinite")),
    ValueFault("a scale is infinite", quantized(FP8, filled(SCALE, np.inf)), InvalidValues, (SCALE, "NaN or infinite")),
    ValueFault("a scale is 0", quantized(FP8, filled(SCALE, 0)), InvalidValues, (SCALE, "0 where the weights are not")),
    ValueFault("a weight is NaN", quantized(FP8, filled(f"{LAYER}.weight", 0x7F)), InvalidValues,
               (f"{LAYER}.weight holds NaN or infinity", "1 NaN")),
    ValueFault("a scale of GPTQ is NaN", quantized(GPTQ, filled(f"{LAYER}.scales", np.nan)), InvalidValues,
               (f"{LAYER}.scales", "NaN or infinite")),
    ValueFault("a scale of AWQ is 0", quantized(AWQ, filled(f"{LAYER}.scales", 0)), InvalidValues,
               (f"{LAYER}.scales", "0 where the weights are not")),
    ValueFault("a group that there is not", quantized(GPTQ, filled(f"{LAYER}.g_idx", 5)), CorruptCheckpoint,
               (f"{LAYER}.g_idx", "a group that has no scale", "groups from 0 to 4")),
    ValueFault("a scale of packed integers is infinite",
               quantized(PACKED, filled(f"{LAYER}.weight_scale", np.inf)), InvalidValues,
               (f"{LAYER}.weight_scale", "NaN or infinite")),
)  # fmt: skip
