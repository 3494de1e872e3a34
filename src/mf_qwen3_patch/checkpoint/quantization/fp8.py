"""FP8 as DeepSeek and Qwen publish it: float8_e4m3fn with a scale for each block, or one for each tensor.

Source: transformers, integrations/finegrained_fp8.py (``Fp8Dequantize``): ``weight * weight_scale_inv``, in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mf_qwen3_patch.checkpoint.quantization.method import (
    FLOATS,
    QuantizedLayer,
    UnusableSetting,
    blocks_of,
)
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import Encoding
from mf_qwen3_patch.checkpoint.quantization.stored_matrix import StoredMatrix
from mf_qwen3_patch.families.config_schema import is_dimension

_BLOCK = "weight_block_size"


@dataclass(frozen=True, slots=True)
class Fp8:
    """The settings; without a ``block`` each tensor has one scale."""

    title: ClassVar[str] = "FP8"
    parts: ClassVar[frozenset[str]] = frozenset({"weight", "weight_scale_inv", "weight_scale"})
    needless: ClassVar[frozenset[str]] = frozenset({"activation_scale", "input_scale"})

    block: tuple[int, int] | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Fp8:
        """Read the settings; raises UnusableSetting."""
        block, form = config.get(_BLOCK), config.get("fmt", "e4m3")
        if form not in ("e4m3", "float8_e4m3fn"):
            raise UnusableSetting("fmt", form, "e4m3")
        if block is None:
            return cls(None)
        if not isinstance(block, list) or len(block) != 2 or not all(map(is_dimension, block)):
            raise UnusableSetting(_BLOCK, block, "two whole numbers, as [128, 128]")
        return cls((block[0], block[1]))

    @staticmethod
    def is_quantized(layer: QuantizedLayer) -> bool:
        """Return whether a layer with some of these tensors is quantized; else it is as ever."""
        weight = layer.parts.get("weight")
        return len(layer.parts) > 1 or weight is None or weight.dtype.startswith("F8")

    def encoding(self, layer: QuantizedLayer) -> Encoding:
        """Return how a quantized layer's weight is stored; raises Misfit."""
        codes = StoredMatrix(layer.part("weight", ("F8_E4M3",)))
        name = "weight_scale" if "weight_scale" in layer.parts and self.block is None else "weight_scale_inv"
        scales = StoredMatrix(layer.part(name, (*FLOATS, "F8_E8M0")))
        block = self.block or codes.shape
        layer.fits(name, scales, blocks_of(codes.shape, block), _BLOCK)
        return Encoding(self.title, codes, scales, block)
