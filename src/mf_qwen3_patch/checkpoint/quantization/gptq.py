"""GPTQ: integers of 4 or 8 bits, packed down the input features; scales and zeros for each group of those.

Sources: AutoGPTQ 0.7.1, nn_modules/qlinear/qlinear_cuda.py (``scales[g_idx] * (weight - zeros[g_idx])``), whose format
stores zeros less 1; GPTQModel, quantization/config.py, whose ``gptq_v2`` stores them as they are.
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
    group_size_of,
)
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import Encoding
from mf_qwen3_patch.checkpoint.quantization.stored_matrix import StoredMatrix
from mf_qwen3_patch.families.config_schema import is_dimension

_BITS = (4, 8)
_ZERO_SHIFTS = {"gptq": 1, "gptq_v2": 0}
_MARLIN = "is_marlin_format"


@dataclass(frozen=True, slots=True)
class Gptq:
    """The settings; a ``group_size`` of None makes one group of all input features."""

    title: ClassVar[str] = "GPTQ"
    parts: ClassVar[frozenset[str]] = frozenset({"qweight", "qzeros", "scales", "g_idx"})
    needless: ClassVar[frozenset[str]] = frozenset()

    bits: int
    group_size: int | None
    zero_shift: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Gptq:
        """Read the settings; raises UnusableSetting."""
        bits = config.get("bits")
        forms = {str(config[key]) for key in ("checkpoint_format", "format") if config.get(key) is not None} or {"gptq"}
        form = " and ".join(sorted(forms))
        if bits not in _BITS or not is_dimension(bits):
            raise UnusableSetting("bits", bits, "4 or 8")
        if form not in _ZERO_SHIFTS:
            raise UnusableSetting("checkpoint_format", form, " or ".join(_ZERO_SHIFTS))
        if config.get(_MARLIN):
            raise UnusableSetting(_MARLIN, config[_MARLIN], "false")
        if config.get("pack_dtype", "int32") != "int32":
            raise UnusableSetting("pack_dtype", config["pack_dtype"], "int32")
        # Patterns of layers that have other settings; those that begin with "-:" are not quantized at all.
        dynamic = config.get("dynamic") or {}
        if not isinstance(dynamic, dict) or not all(pattern.startswith("-:") for pattern in dynamic):
            raise UnusableSetting("dynamic", dynamic, "the same settings for all quantized layers")
        return cls(bits, group_size_of(config), _ZERO_SHIFTS[form])

    @staticmethod
    def is_quantized(layer: QuantizedLayer) -> bool:
        """Return whether a layer with some of these tensors is quantized; else it is as ever."""
        return True

    def encoding(self, layer: QuantizedLayer) -> Encoding:
        """Return how a quantized layer's weight is stored; raises Misfit."""
        codes = StoredMatrix(layer.part("qweight", ("I32",)), self.bits, axis=0)
        inputs, outputs = codes.shape
        block = (self.group_size or inputs, 1)
        groups, _ = blocks_of(codes.shape, block)
        index = None
        if "g_idx" in layer.parts:
            index = layer.part("g_idx", ("I32", "I64"))
            layer.fits("g_idx", StoredMatrix(index), (inputs, 1), "bits")
        scales = StoredMatrix(layer.part("scales", FLOATS))
        zeros = StoredMatrix(layer.part("qzeros", ("I32",)), self.bits)
        layer.fits("scales", scales, (groups, outputs), "group_size")
        layer.fits("qzeros", zeros, (groups, outputs // zeros.packed), "group_size")
        return Encoding(self.title, codes, scales, block, zeros, self.zero_shift, groups=index, transposed=True)
