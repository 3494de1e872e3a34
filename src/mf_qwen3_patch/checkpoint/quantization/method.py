"""The language in which a quantization method is described: its settings, and the tensors of one quantized layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import Encoding
from mf_qwen3_patch.checkpoint.quantization.stored_matrix import StoredMatrix
from mf_qwen3_patch.errors import CheckpointError, CorruptCheckpoint, IncompleteCheckpoint
from mf_qwen3_patch.families.config_schema import is_dimension

FLOATS = ("F16", "BF16", "F32")
"""The dtypes of scales."""


class UnusableSetting(Exception):
    """A setting that the method does not have, or that is not known here."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        self.field, self.expected = field, expected
        self.found = "none" if found is None else short_json(found)
        super().__init__(f"{field}: {self.found}")


class Misfit(Exception):
    """A tensor of a layer that is missing, or does not fit the others; ``field`` may be the setting that is wrong."""

    def __init__(
        self,
        part: str,
        summary: str,
        expected: str,
        found: str,
        *,
        kind: type[CheckpointError] = CorruptCheckpoint,
        field: str | None = None,
    ) -> None:
        super().__init__(f"{part} {summary}")
        self.part, self.summary, self.expected, self.found = part, summary, expected, found
        self.kind, self.field = kind, field


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """The tensors of one layer, by the last words of their names."""

    name: str
    parts: Mapping[str, TensorInfo]

    def part(self, name: str, dtypes: Collection[str]) -> TensorInfo:
        """Return a tensor that must be there, of one of these dtypes; raises Misfit."""
        tensor = self.parts.get(name)
        if tensor is None:
            there = ", ".join(sorted(self.parts))
            summary = "is in no file, without which the layer can't be dequantized"
            raise Misfit(name, summary, name, f"only {there}", kind=IncompleteCheckpoint)
        if tensor.dtype not in dtypes or len(tensor.shape) > 2 or 0 in tensor.shape:
            expected = f"a matrix of {' or '.join(dtypes)}"
            raise Misfit(name, "is not what the method stores", expected, f"{tensor.dtype} {list(tensor.shape)}")
        return tensor

    def fits(self, part: str, matrix: StoredMatrix, shape: tuple[int, int], field: str) -> StoredMatrix:
        """Return a matrix whose stored words have the shape that the codes ask for; raises Misfit."""
        if matrix.words == shape:
            return matrix
        summary = "does not fit the layer's weights"
        raise Misfit(part, summary, f"{list(shape)}", f"{list(matrix.tensor.shape)}", field=field)


def blocks_of(shape: tuple[int, int], block: tuple[int, int]) -> tuple[int, int]:
    """Return how many blocks there are of that size, the last of each axis maybe smaller."""
    return -(-shape[0] // block[0]), -(-shape[1] // block[1])


MethodT_co = TypeVar("MethodT_co", bound="Method", covariant=True)


class Method(Protocol):
    """A method of quantization, with the settings of one checkpoint."""

    title: ClassVar[str]
    parts: ClassVar[frozenset[str]]
    """The last words of the names of a layer's tensors."""
    needless: ClassVar[frozenset[str]]
    """Those of tensors that say nothing about the weights: scales of activations and of the key/value cache."""

    @classmethod
    def of(cls: type[MethodT_co], config: Mapping[str, Any]) -> MethodT_co:
        """Read the settings; raises UnusableSetting."""
        ...

    @staticmethod
    def is_quantized(layer: QuantizedLayer) -> bool:
        """Return whether a layer with some of these tensors is quantized; else it is as ever."""
        ...

    def encoding(self, layer: QuantizedLayer) -> Encoding:
        """Return how a quantized layer's weight is stored; raises Misfit."""
        ...


def group_size_of(config: Mapping[str, Any]) -> int | None:
    """Return how many input features share a scale, None if all do; raises UnusableSetting."""
    size = config.get("group_size", config.get("q_group_size"))
    if size == -1:
        return None
    if not is_dimension(size):
        raise UnusableSetting("group_size", size, "a whole number, or -1")
    return int(size)
