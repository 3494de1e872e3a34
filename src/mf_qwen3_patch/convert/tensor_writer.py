"""From planned parameters to tensors that are written, read one matrix at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import STORED_NAMES
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewTensor
from mf_qwen3_patch.loading.transfer.cast import Array
from mf_qwen3_patch.loading.transfer.loader import read_parameter, refuse_invalid
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy
from mf_qwen3_patch.loading.transfer.worker import Findings, PieceLoader


class TensorWriter:
    """Makes the tensors of new files out of an open checkpoint, looking at every value on the way."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._loader = PieceLoader(checkpoint.file)
        self.overflowed: dict[str, int] = {}  # by tensor name, how many finite values became infinite by a cast

    def new_tensor(self, entry: ParameterPlan, matrices: int = 1) -> NewTensor:
        """Return the tensor that a planned parameter becomes; it is read when it is written.

        Of the ``matrices`` of equal size that follow each other in it, no more than one is in memory.
        """

        def make() -> Iterator[Array]:
            return map(self._read, _matrices(entry, matrices))

        return NewTensor(entry.name, STORED_NAMES[entry.dtype], entry.shape, make)

    def _read(self, entry: ParameterPlan) -> Array:
        findings = Findings()
        array = read_parameter(entry, self._loader, findings)
        refuse_invalid([entry], findings)
        self.overflowed.update((name, seen.overflowed) for name, seen in findings.tensors.items() if seen.overflowed)
        return array


def _matrices(entry: ParameterPlan, count: int) -> Iterator[ParameterPlan]:
    """Yield the matrices of a parameter as flat parameters of their own."""
    size = prod(entry.shape) // count
    for start in range(0, size * count, size):
        copies = tuple(
            SliceCopy(copy.tensor, replace(copy.region, target=copy.region.target - start))
            for copy in entry.copies
            if start <= copy.region.target < start + size
        )
        yield ParameterPlan(entry.name, (size,), entry.dtype, copies)
