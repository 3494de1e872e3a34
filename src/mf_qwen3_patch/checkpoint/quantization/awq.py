"""AWQ, as AutoAWQ's ``gemm`` version stores it: integers of 4 bits, packed along the output features in another order.

Source: AutoAWQ 0.2.9, utils/packing_utils.py (``dequantize_gemm``): ``(weight - zeros) * scales``, by groups of input
features.
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

_BITS = 4
_VERSIONS = ("version", "format", "checkpoint_format")
# The output feature, of 8 in a word, that each 4 bits hold, from the lowest on.
_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True, slots=True)
class Awq:
    """The settings; a ``group_size`` of None makes one group of all input features."""

    title: ClassVar[str] = "AWQ"
    parts: ClassVar[frozenset[str]] = frozenset({"qweight", "qzeros", "scales"})
    needless: ClassVar[frozenset[str]] = frozenset()

    group_size: int | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Awq:
        """Read the settings; raises UnusableSetting."""
        bits = config.get("bits", config.get("w_bit"))
        version = next((config[key] for key in _VERSIONS if config.get(key) is not None), "gemm")
        if bits != _BITS:
            raise UnusableSetting("bits", bits, str(_BITS))
        if str(version).lower() != "gemm":
            raise UnusableSetting("version", version, "gemm")
        if config.get("backend") == "llm-awq":
            raise UnusableSetting("backend", "llm-awq", "a backend that stores the gemm version")
        return cls(group_size_of(config))

    @staticmethod
    def is_quantized(layer: QuantizedLayer) -> bool:
        """Return whether a layer with some of these tensors is quantized; else it is as ever."""
        return True

    def encoding(self, layer: QuantizedLayer) -> Encoding:
        """Return how a quantized layer's weight is stored; raises Misfit."""
        codes = StoredMatrix(layer.part("qweight", ("I32",)), _BITS, order=_ORDER)
        inputs, outputs = codes.shape
        block = (self.group_size or inputs, 1)
        groups, _ = blocks_of(codes.shape, block)
        scales = StoredMatrix(layer.part("scales", FLOATS))
        zeros = StoredMatrix(layer.part("qzeros", ("I32",)), _BITS, order=_ORDER)
        layer.fits("scales", scales, (groups, outputs), "group_size")
        layer.fits("qzeros", zeros, (groups, outputs // zeros.packed), "group_size")
        return Encoding(self.title, codes, scales, block, zeros, transposed=True)
