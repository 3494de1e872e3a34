"""Makes quantized checkpoints of the tiny ones, method by method, in the most straightforward way; numpy only.

Each method returns what it stores for one weight, and the values that this stands for, computed without looking at the
code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import Raw, Tensors, decode, edit_config, edit_weights, encode, write_checkpoint

Stored = dict[str, Raw]
Quantizer = Callable[[np.ndarray], tuple[Stored, np.ndarray]]

# Every float8_e4m3fn value, by its byte, as the OCP specification defines them.
E4M3 = np.array(
    [
        (-1.0 if byte & 0x80 else 1.0)
        * ((byte & 7) * 2.0**-9 if (byte & 0x78) == 0 else (8 + (byte & 7)) * 2.0 ** (((byte >> 3) & 15) - 10))
        if (byte & 0x7F) != 0x7F
        else np.nan
        for byte in range(256)
    ],
    np.float32,
)


def to_e4m3(values: np.ndarray) -> np.ndarray:
    """Return the byte of the nearest finite float8_e4m3fn of each value."""
    finite = np.flatnonzero(np.isfinite(E4M3))
    order = finite[np.argsort(E4M3[finite], kind="stable")]
    ladder = E4M3[order]
    place = np.clip(np.searchsorted(ladder, values), 1, len(ladder) - 1)
    nearer = np.abs(values - ladder[place - 1]) <= np.abs(ladder[place] - values)
    return order[place - nearer].astype(np.uint8)


def fp8(block: tuple[int, int] = (16, 32), dtype: str = "F32", name: str = "weight_scale_inv") -> Quantizer:
    """Return FP8 with a scale for each block, as Qwen's and DeepSeek's checkpoints have it; (0, 0) is one for all."""

    def quantize(weight: np.ndarray) -> tuple[Stored, np.ndarray]:
        height, width = block[0] or weight.shape[0], block[1] or weight.shape[1]
        rows, columns = -(-weight.shape[0] // height), -(-weight.shape[1] // width)
        grid = np.empty((rows, columns), np.float32)
        for row, column in np.ndindex(rows, columns):
            part = weight[row * height : (row + 1) * height, column * width : (column + 1) * width]
            grid[row, column] = np.abs(part).max() / 448
        scales = encode(grid, dtype)
        spread = np.kron(decode(scales), np.ones((height, width), np.float32))[: weight.shape[0], : weight.shape[1]]
        codes = to_e4m3(weight / spread)
        values = E4M3[codes] * spread
        if name == "weight_scale":  # compressed-tensors'
            values = decode(encode(values, dtype))
        return {"weight": Raw("F8_E4M3", weight.shape, codes.tobytes()), name: scales}, values

    return quantize


def by_groups(weight: np.ndarray, bits: int, groups: np.ndarray, symmetric: bool) -> tuple[np.ndarray, ...]:
    """Quantize ``[outputs, inputs]`` to unsigned integers; ``groups`` is each input's. Returns codes, scales, zeros.

    Scales (rounded to float16) and zeros are ``[outputs, groups]``.
    """
    largest = 2**bits - 1
    scales = np.empty((len(weight), groups.max() + 1), np.float32)
    zeros = np.empty(scales.shape, np.int64)
    for group in range(scales.shape[1]):
        part = weight[:, groups == group]
        low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        if symmetric:
            high = np.maximum(-low, high)
            low = -high
        scales[:, group] = ((high - low) / largest).astype(np.float16)
        zeros[:, group] = (largest + 1) // 2 if symmetric else np.rint(-low / scales[:, group])
    # AutoGPTQ can't store 0 in version 1.
    zeros = zeros.clip(1, largest)
    codes = np.rint(weight / scales[:, groups]).astype(np.int64) + zeros[:, groups]
    return codes.clip(0, largest), scales, zeros


def pack_rows(codes: np.ndarray, bits: int, order: tuple[int, ...] | None = None) -> Raw:
    """Pack each row's integers into 32-bit words, the first into the lowest bits, or by ``order``."""
    per = 32 // bits
    padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % per)))
    words = np.zeros((len(codes), padded.shape[1] // per), np.uint32)
    for position, place in enumerate(order or range(per)):
        words |= padded[:, place::per].astype(np.uint32) << np.uint32(position * bits)
    return Raw("I32", words.shape, words.tobytes())


def transposed(raw: Raw) -> Raw:
    """Transpose a matrix of words."""
    words = np.frombuffer(raw.data, np.uint32).reshape(raw.shape).T
    return Raw("I32", words.shape, words.tobytes())


def _integers(values: np.ndarray) -> Raw:
    return Raw("I32", values.shape, values.astype(np.int32).tobytes())


def _groups(inputs: int, size: int, ordered: bool = True) -> np.ndarray:
    """Return the group of each input: one after the other, or anywhere, as act-order assigns them."""
    groups = np.arange(inputs) // (size or inputs)
    return groups if ordered else np.random.default_rng(inputs).permutation(groups)


def gptq(bits: int = 4, size: int = 16, *, symmetric: bool = True, shift: int = 1, ordered: bool = True) -> Quantizer:
    """Return GPTQ; ``shift`` is what is taken from zeros before they are stored: 1 in version 1, 0 in version 2."""

    def quantize(weight: np.ndarray) -> tuple[Stored, np.ndarray]:
        groups = _groups(weight.shape[1], size, ordered)
        codes, scales, zeros = by_groups(weight, bits, groups, symmetric)
        stored = {
            "qweight": transposed(pack_rows(codes, bits)),
            "qzeros": pack_rows(zeros.T - shift, bits),
            "scales": encode(scales.T, "F16"),
            "g_idx": _integers(groups),
        }
        return stored, (codes - zeros[:, groups]).astype(np.float32) * scales[:, groups]

    return quantize


def awq(size: int = 16) -> Quantizer:
    """Return AWQ, gemm version."""

    def quantize(weight: np.ndarray) -> tuple[Stored, np.ndarray]:
        groups = _groups(weight.shape[1], size)
        codes, scales, zeros = by_groups(weight, 4, groups, symmetric=False)
        order = (0, 2, 4, 6, 1, 3, 5, 7)
        stored = {
            "qweight": pack_rows(codes.T, 4, order),
            "qzeros": pack_rows(zeros.T, 4, order),
            "scales": encode(scales.T, "F16"),
        }
        return stored, (codes - zeros[:, groups]).astype(np.float32) * scales[:, groups]

    return quantize


def int8(size: int = 0, *, symmetric: bool = True) -> Quantizer:
    """Return compressed-tensors' INT8 by groups of input features, or by channel."""

    def quantize(weight: np.ndarray) -> tuple[Stored, np.ndarray]:
        groups = _groups(weight.shape[1], size)
        codes, scales, zeros = by_groups(weight, 8, groups, symmetric)
        signed = (codes - 128).astype(np.int8)
        stored = {"weight": Raw("I8", signed.shape, signed.tobytes()), "weight_scale": encode(scales, "F16")}
        if not symmetric:
            stored["weight_zero_point"] = Raw("I8", zeros.shape, (zeros - 128).astype(np.int8).tobytes())
        return stored, decode(encode((codes - zeros[:, groups]).astype(np.float32) * scales[:, groups], "F16"))

    return quantize


def packed(bits: int = 4, size: int = 8, *, symmetric: bool = True, ordered: bool = True) -> Quantizer:
    """Return compressed-tensors' packed integers, by groups of input features, or by channel."""

    def quantize(weight: np.ndarray) -> tuple[Stored, np.ndarray]:
        groups = _groups(weight.shape[1], size, ordered)
        codes, scales, zeros = by_groups(weight, bits, groups, symmetric)
        stored = {
            "weight_packed": pack_rows(codes, bits),
            "weight_scale": encode(scales, "F16"),
            "weight_shape": Raw("I64", (2,), np.array(weight.shape, np.int64).tobytes()),
        }
        if not symmetric:
            stored["weight_zero_point"] = transposed(pack_rows(zeros.T, bits))
        if not ordered:
            stored["weight_g_idx"] = _integers(groups)
        return stored, decode(encode((codes - zeros[:, groups]).astype(np.float32) * scales[:, groups], "F16"))

    return quantize


def fp8_config(**more: Any) -> dict[str, Any]:
    """Return what config.json says of FP8."""
    config = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [16, 32]}
    return {**config, "modules_to_not_convert": ["lm_head", "model.layers.0.mlp.gate"], **more}


def gptq_config(**more: Any) -> dict[str, Any]:
    """Return what config.json says of GPTQ."""
    return {"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": True, "desc_act": False, **more}


def awq_config(**more: Any) -> dict[str, Any]:
    """Return what config.json says of AWQ."""
    return {"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm", "zero_point": True, **more}


def compressed_config(form: str, **weights: Any) -> dict[str, Any]:
    """Return what config.json says of compressed-tensors."""
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": False, **weights}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    config = {"quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed"}
    return config | {"config_groups": {"group_0": group}, "ignore": ["lm_head"], "kv_cache_scheme": None}


KINDS: dict[str, tuple[Quantizer, dict[str, Any]]] = {
    "FP8, blocks": (fp8(), fp8_config()),
    "FP8, blocks, scales in BF16": (fp8((8, 8), "BF16"), fp8_config(weight_block_size=[8, 8])),
    "FP8, one scale for a tensor": (fp8((0, 0)), fp8_config(weight_block_size=None)),
    "GPTQ": (gptq(), gptq_config(checkpoint_format="gptq")),
    "GPTQ, 8 bits, one group": (gptq(8, 0), gptq_config(bits=8, group_size=-1)),
    "GPTQ, asymmetric": (gptq(symmetric=False), gptq_config(sym=False)),
    "GPTQ, asymmetric, act-order": (gptq(symmetric=False, ordered=False), gptq_config(sym=False, desc_act=True)),
    "GPTQ, 8 bits, version 2": (
        gptq(8, symmetric=False, shift=0),
        gptq_config(bits=8, sym=False, checkpoint_format="gptq_v2"),
    ),
    "AWQ": (awq(), awq_config()),
    "compressed-tensors, FP8 by tensor": (
        fp8((0, 0), "BF16", "weight_scale"),
        compressed_config("float-quantized", type="float", strategy="tensor"),
    ),
    "compressed-tensors, FP8 by channel": (
        fp8((1, 0), "BF16", "weight_scale"),
        compressed_config("float-quantized", type="float", strategy="channel"),
    ),
    "compressed-tensors, FP8 by block": (
        fp8((16, 32), "BF16", "weight_scale"),
        compressed_config("float-quantized", type="float", strategy="block", block_structure=[16, 32]),
    ),
    "compressed-tensors, INT8 by channel": (int8(), compressed_config("int-quantized", strategy="channel")),
    "compressed-tensors, INT8 by group, asymmetric": (
        int8(8, symmetric=False),
        compressed_config("int-quantized", strategy="group", group_size=8, symmetric=False),
    ),
    "compressed-tensors, INT4": (
        packed(),
        compressed_config("pack-quantized", num_bits=4, strategy="group", group_size=8),
    ),
    "compressed-tensors, INT4, asymmetric, act-order": (
        packed(symmetric=False, ordered=False),
        compressed_config("pack-quantized", num_bits=4, strategy="group", group_size=8, symmetric=False),
    ),
    "compressed-tensors, INT8 packed by channel, asymmetric": (
        packed(8, 0, symmetric=False),
        compressed_config("pack-quantized", strategy="channel", symmetric=False),
    ),
}
"""How to quantize, and what config.json says of it."""


def quantize_checkpoint(directory: Path, quantizer: Quantizer, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Quantize the projections of a checkpoint in place; return the values that the quantized weights stand for."""
    expected: dict[str, np.ndarray] = {}

    def change(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            layer = name.removesuffix("weight")
            stored, expected[name] = quantizer(decode(tensors.pop(name)))
            tensors.update({layer + part: raw for part, raw in stored.items()})

    edit_weights(directory, change)
    edit_config(directory, quantization_config=dict(config))
    return expected


def write_quantized(directory: Path, kind: str, **options: Any) -> tuple[Path, Path]:
    """Write a quantized checkpoint, and beside it one in float32 with the values that it stands for."""
    quantizer, config = KINDS[kind]
    quantized = write_checkpoint(directory / "quantized", **options)
    plain = write_checkpoint(directory / "plain", **options)
    expected = quantize_checkpoint(quantized, quantizer, config)
    edit_weights(plain, lambda tensors: tensors.update({name: encode(expected[name], "F32") for name in expected}))
    return quantized, plain
