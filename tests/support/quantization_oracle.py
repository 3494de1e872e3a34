"""The oracle for quantized weights: the libraries that define the formats quantize a matrix, and dequantize it again.

Each case is one layer as the library stores it, the quantization_config, and the weights in float32 that the library
itself makes of it. Torch, transformers, compressed-tensors, AutoAWQ and AutoGPTQ are imported when they are asked, not
before. Of the last two only single modules are: their packages import what newer releases of transformers lack.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTPUTS, INPUTS, GROUP = 32, 64, 16
SOURCES = ("torch", "transformers", "compressed_tensors", "awq", "auto_gptq")


@dataclass(frozen=True)
class Layer:
    """A quantized layer, as torch tensors by the last words of their names, and the float32 weight, ``[out, in]``."""

    config: dict[str, Any]
    parts: dict[str, Any]
    weight: Any


def weight(seed: int = 0) -> Any:
    """Return random weights, in a range that differs from row to row."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(OUTPUTS, INPUTS, generator=generator) * torch.linspace(0.01, 0.3, OUTPUTS)[:, None]
    return values + 0.01


def fp8_blocks(dtype: str) -> Layer:
    """Quantize by transformers' own FP8 with blocks; its scales cast as Qwen's published checkpoints have them."""
    import torch
    from transformers import FineGrainedFP8Config
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize, Fp8Quantize

    config = FineGrainedFP8Config(weight_block_size=(16, 32))
    quantizer = types.SimpleNamespace(quantization_config=config)
    stored = Fp8Quantize(quantizer).convert({"x.weight": weight()})
    codes, scales = stored["x.weight"], stored["x.weight_scale_inv"].to(getattr(torch, dtype))
    values = Fp8Dequantize(quantizer)._dequantize_one(codes, scales, output_dtype=torch.float32)
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [16, 32]}
    return Layer(settings, {"weight": codes, "weight_scale_inv": scales}, values)


def compressed(form: str, dtype: str, **arguments: Any) -> Layer:
    """Quantize by compressed-tensors; the scales are rounded to a dtype, in which it dequantizes, too."""
    import torch
    from compressed_tensors.compressors.base import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    settings = QuantizationArgs(**arguments)
    scheme = QuantizationScheme(targets=["Linear"], weights=settings)
    values, strategy = weight(), settings.strategy
    if strategy == "tensor":
        low, high = values.min().reshape(1), values.max().reshape(1)
    elif strategy == "channel":
        low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    elif strategy == "group":
        groups = values.reshape(OUTPUTS, -1, settings.group_size)
        low, high = groups.amin(-1), groups.amax(-1)
    else:
        height, width = settings.block_structure
        blocks = values.reshape(OUTPUTS // height, height, INPUTS // width, width)
        low, high = blocks.amin((1, 3)), blocks.amax((1, 3))
    scale, zero = calculate_qparams(low, high, settings)
    state = {"weight": values, "weight_scale": scale.to(getattr(torch, dtype)), "weight_zero_point": zero}
    stored = BaseCompressor.get_value_from_registry(form).compress(state, scheme)
    decompressed = BaseCompressor.get_value_from_registry(form).decompress(dict(stored), scheme)
    group = {"targets": ["Linear"], "weights": settings.model_dump(mode="json")}
    config = {"quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed"}
    return Layer(config | {"config_groups": {"group_0": group}}, stored, decompressed["weight"].float())


def _rounded(bits: int, groups: Any, symmetric: bool) -> tuple[Any, Any, Any]:
    """Return a linear layer whose weights are whole steps above zeros, and the float16 scales and zeros for that.

    The packing neither rounds up nor limits anything; scales and zeros are ``[out, groups]``.
    """
    import torch

    values, largest = weight(), 2**bits - 1
    scales, zeros = [], []
    for group in range(int(groups.max()) + 1):
        part = values[:, groups == group]
        low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        if symmetric:
            high = torch.maximum(high, -low)
            low = -high
        scales.append(((high - low) / largest).half().float())
        zeros.append(torch.full_like(low, (largest + 1) // 2) if symmetric else (-low / scales[-1]).round())
    scale, zero = torch.stack(scales, 1), torch.stack(zeros, 1).clamp(1, largest)
    codes = ((values / scale[:, groups]).round() + zero[:, groups]).clamp(0, largest)
    linear = torch.nn.Linear(INPUTS, OUTPUTS, bias=False)
    linear.weight.data = (codes - zero[:, groups]) * scale[:, groups]
    return linear, scale, zero


def gptq(bits: int, symmetric: bool, ordered: bool) -> Layer:
    """Quantize by AutoGPTQ's layer; what it multiplies with the identity is its weight."""
    import torch

    groups = torch.arange(INPUTS) // GROUP
    if not ordered:
        groups = groups[torch.randperm(INPUTS, generator=torch.Generator().manual_seed(1))]
    linear, scales, zeros = _rounded(bits, groups, symmetric)
    with _module("auto_gptq", "nn_modules/qlinear/qlinear_cuda.py") as module:
        layer = module.QuantLinear(bits, GROUP, INPUTS, OUTPUTS, bias=False, weight_dtype=torch.float16)
    layer.pack(linear, scales, zeros, groups.int())
    layer.scales = layer.scales.half()
    parts = {name: getattr(layer, name).contiguous() for name in ("qweight", "qzeros", "scales", "g_idx")}
    layer.scales = layer.scales.float()
    config = {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "sym": symmetric, "desc_act": not ordered}
    return Layer(config, parts, layer(torch.eye(INPUTS)).T.contiguous())


def awq() -> Layer:
    """Quantize by AutoAWQ's layer, and dequantize by its function."""
    import torch

    linear, scales, zeros = _rounded(4, torch.arange(INPUTS) // GROUP, symmetric=False)
    with _package("awq"):
        from awq.modules.linear.gemm import WQLinear_GEMM
        from awq.utils.packing_utils import dequantize_gemm

        layer = WQLinear_GEMM.from_linear(linear, 4, GROUP, scales=scales.T.contiguous(), zeros=zeros.T.contiguous())
        parts = {name: getattr(layer, name).contiguous() for name in ("qweight", "qzeros", "scales")}
        values = dequantize_gemm(layer.qweight, layer.qzeros, layer.scales.float(), 4, GROUP)
    config = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}
    return Layer(config, parts, values.T.contiguous())


CASES: dict[str, Callable[[], Layer]] = {
    "fp8_blocks": lambda: fp8_blocks("float32"),
    "fp8_blocks_bf16": lambda: fp8_blocks("bfloat16"),
    "gptq_4_symmetric": lambda: gptq(4, symmetric=True, ordered=True),
    "gptq_4_asymmetric_act_order": lambda: gptq(4, symmetric=False, ordered=False),
    "gptq_8_symmetric": lambda: gptq(8, symmetric=True, ordered=True),
    "gptq_8_asymmetric_act_order": lambda: gptq(8, symmetric=False, ordered=False),
    "awq": awq,
    **{
        f"compressed_fp8_{strategy}": lambda strategy=strategy, more=more: compressed(
            "float-quantized", "bfloat16", num_bits=8, type="float", strategy=strategy, **more
        )
        for strategy, more in {
            "tensor": {},
            "channel": {},
            "group": {"group_size": GROUP},
            "block": {"block_structure": [16, 32]},
        }.items()
    },
    **{
        f"compressed_int8_{strategy}_{'' if symmetric else 'a'}symmetric": (
            lambda strategy=strategy, symmetric=symmetric, more=more: compressed(
                "int-quantized", "bfloat16", num_bits=8, type="int", strategy=strategy, symmetric=symmetric, **more
            )
        )
        for strategy, more in {"tensor": {}, "channel": {}, "group": {"group_size": GROUP}}.items()
        for symmetric in (True, False)
    },
    **{
        f"compressed_packed_int{bits}_{strategy}_{'' if symmetric else 'a'}symmetric": (
            lambda bits=bits, strategy=strategy, symmetric=symmetric, more=more: compressed(
                "pack-quantized", "float16", num_bits=bits, type="int", strategy=strategy, symmetric=symmetric, **more
            )
        )
        for bits in (4, 8)
        for strategy, more in {"channel": {}, "group": {"group_size": GROUP}}.items()
        for symmetric in (True, False)
    },
}
"""By name, how each layer is made."""


@contextmanager
def _module(package: str, path: str) -> Iterator[Any]:
    """Import one module of a package by its file, without the package."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    found = importlib.util.spec_from_file_location("_oracle", Path(spec.origin).parent / path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    yield module


@contextmanager
def _package(name: str) -> Iterator[None]:
    """Have a package whose ``__init__`` modules are not executed, at the top and in ``modules``."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    places = {name: root, f"{name}.modules": root / "modules", f"{name}.modules.linear": root / "modules" / "linear"}
    for module, place in places.items():
        sys.modules[module] = types.ModuleType(module)
        sys.modules[module].__path__ = [str(place)]
    try:
        yield
    finally:
        for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
            del sys.modules[module]
