"""compressed-tensors, as llm-compressor saves it: FP8 or INT8 as they are, or integers packed along the input features.

Source: compressed-tensors 0.20, quantization/lifecycle/forward_helpers.py (``_dequantize``) and
compressors/pack_quantized: ``(weight - zero_point) * scale``. Packed integers are stored plus half of their range, and
so are packed zeros, which lie down the output features. The library computes in the dtype of the scales.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.quantization.method import FLOATS, Misfit, QuantizedLayer, UnusableSetting, blocks_of
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import Encoding
from mf_qwen3_patch.checkpoint.quantization.stored_matrix import StoredMatrix
from mf_qwen3_patch.families.config_schema import is_dimension

_PACKED, _PLAIN = "pack-quantized", ("naive-quantized", "float-quantized", "int-quantized")
_GROUPS = "config_groups"
# Every quantized layer of a Qwen3 is of this class.
_CLASS = "Linear"


# The strategies that need no size.
_WHOLE = ("tensor", "channel")


def _targets(where: str, group: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names, patterns and classes that a group names; raises UnusableSetting."""
    targets = group.get("targets")
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise UnusableSetting(f"{where}.targets", targets, "a list of names")
    for target in targets:
        try:
            re.compile(target.removeprefix("re:"))
        except (re.error, OverflowError) as error:
            raise UnusableSetting(f"{where}.targets", target, "a regular expression") from error
    return tuple(targets)


@dataclass(frozen=True, slots=True)
class _Scheme:
    """The settings of some layers."""

    targets: tuple[str, ...]  # names, regular expressions after "re:", or classes
    packed: bool
    kind: str  # "int" or "float"
    bits: int
    strategy: str
    block: tuple[int, int]  # rows and columns that share a scale; 0 is all of them
    symmetric: bool

    @classmethod
    def of(cls, name: str, group: Mapping[str, Any], form: object) -> _Scheme:
        """Read one of the groups; raises UnusableSetting."""
        where = f"{_GROUPS}.{name}"
        weights, form = group.get("weights"), group.get("format") or form
        if not isinstance(weights, dict):
            raise UnusableSetting(f"{where}.weights", weights, "the settings of the weights")
        if form not in (_PACKED, *_PLAIN):
            raise UnusableSetting("format", form, f"one of {_PACKED}, {', '.join(_PLAIN)}")
        kind, bits = weights.get("type", "int"), weights.get("num_bits", 8)
        allowed = (("int", 4), ("int", 8)) if form == _PACKED else (("int", 8), ("float", 8))
        if (kind, bits) not in allowed or not is_dimension(bits):
            wanted = " or ".join(f"{one} {number}" for one, number in allowed)
            given = " ".join(one if isinstance(one, str) else short_json(one) for one in (kind, bits))
            raise UnusableSetting(f"{where}.weights.num_bits", given, f"{wanted} in {form}")
        size, structure = weights.get("group_size"), weights.get("block_structure")
        blocks: dict[str, Any] = {"tensor": [0, 0], "channel": [1, 0], "group": [1, size], "block": structure}
        strategy = weights.get("strategy") or {None: "tensor", -1: "channel"}.get(size, "group")
        block = blocks.get(str(strategy))
        if not isinstance(block, list) or len(block) != 2 or not (strategy in _WHOLE or all(map(is_dimension, block))):
            raise UnusableSetting(f"{where}.weights.strategy", strategy, f"one of {', '.join(blocks)}, with its size")
        symmetric = weights.get("symmetric", True)
        if not isinstance(symmetric, bool):
            raise UnusableSetting(f"{where}.weights.symmetric", symmetric, "true or false")
        return cls(_targets(where, group), form == _PACKED, kind, bits, strategy, (block[0], block[1]), symmetric)

    def rank_for(self, layer: str) -> int | None:
        """Return how exactly the targets name a layer: 0 by its name, 1 by a pattern, 2 by its class; None if not."""
        patterns = [target[3:] for target in self.targets if target.startswith("re:")]
        named = layer in self.targets, any(re.match(pattern, layer) for pattern in patterns), _CLASS in self.targets
        return next((rank for rank, fits in enumerate(named) if fits), None)


@dataclass(frozen=True, slots=True)
class CompressedTensors:
    """The settings, for some layers each."""

    title: ClassVar[str] = "compressed-tensors"
    parts: ClassVar[frozenset[str]] = frozenset(
        {"weight", "weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"}
    )
    needless: ClassVar[frozenset[str]] = frozenset(
        f"{what}_{part}"
        for what in ("input", "output", "q", "k", "v")
        for part in ("scale", "zero_point", "global_scale")
    )

    schemes: tuple[_Scheme, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> CompressedTensors:
        """Read the settings; raises UnusableSetting."""
        groups, status = config.get(_GROUPS), config.get("quantization_status", "compressed")
        if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
            raise UnusableSetting(_GROUPS, groups, "a map of groups")
        if status != "compressed":
            raise UnusableSetting("quantization_status", status, "compressed")
        sparsity, transforms = config.get("sparsity_config") or {}, config.get("transform_config") or {}
        if not isinstance(sparsity, dict) or sparsity.get("format", "dense") != "dense":
            raise UnusableSetting("sparsity_config", sparsity, "dense weights")
        if not isinstance(transforms, dict) or transforms.get(_GROUPS):
            raise UnusableSetting("transform_config", transforms, "no transforms")
        # A group may be of activations only.
        schemes = [
            _Scheme.of(name, group, config.get("format"))
            for name, group in groups.items()
            if group.get("weights") is not None
        ]
        return cls(tuple(schemes))

    @staticmethod
    def is_quantized(layer: QuantizedLayer) -> bool:
        """Return whether a layer with some of these tensors is quantized; else it is as ever."""
        weight = layer.parts.get("weight")
        return len(layer.parts) > 1 or weight is None or weight.dtype not in FLOATS

    def scheme_of(self, layer: str) -> _Scheme | None:
        """Return the settings of a layer: those whose targets name it most exactly, the first of equals."""
        ranked = [(rank, one) for one in self.schemes if (rank := one.rank_for(layer)) is not None]
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else None

    def encoding(self, layer: QuantizedLayer) -> Encoding:
        """Return how a quantized layer's weight is stored; raises Misfit."""
        scheme = self.scheme_of(layer.name)
        if scheme is None:
            raise Misfit("weight_scale", "belongs to a layer that no group names", "a target", layer.name)
        bits = scheme.bits if scheme.packed else 0
        if scheme.packed:
            codes = StoredMatrix(layer.part("weight_packed", ("I32",)), bits)
        else:
            codes = StoredMatrix(layer.part("weight", ("F8_E4M3",) if scheme.kind == "float" else ("I8",)))
        block = (scheme.block[0] or codes.shape[0], scheme.block[1] or codes.shape[1])
        grid = blocks_of(codes.shape, block)
        field = f"{_GROUPS}.weights.strategy"
        scales = layer.fits("weight_scale", StoredMatrix(layer.part("weight_scale", FLOATS)), grid, field)
        shift = 1 << bits - 1 if bits else 0
        zeros = None
        if not scheme.symmetric:
            if scheme.packed and scheme.strategy != "tensor":
                zeros = StoredMatrix(layer.part("weight_zero_point", ("I32",)), bits, axis=0)
                layer.fits("weight_zero_point", zeros, (-(-grid[0] // zeros.packed), grid[1]), field)
                shift = 0
            else:
                zeros = StoredMatrix(layer.part("weight_zero_point", ("I8",)))
                layer.fits("weight_zero_point", zeros, grid, field)
        groups = None
        if "weight_g_idx" in layer.parts:
            groups = layer.part("weight_g_idx", ("I32", "I64"))
            layer.fits("weight_g_idx", StoredMatrix(groups), (codes.shape[1], 1), field)
        return Encoding(self.title, codes, scales, block, zeros, shift, groups, rounded=True)
