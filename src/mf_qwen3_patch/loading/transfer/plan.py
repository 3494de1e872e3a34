"""A plan: for every parameter of this rank, the bytes of the files that become its elements; nothing is read for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

from numpy.lib.stride_tricks import as_strided

from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS, TensorInfo
from mf_qwen3_patch.families.layout import StridedCopy
from mf_qwen3_patch.families.tensors import Shape
from mf_qwen3_patch.loading.transfer.cast import Array

# Large enough for a disk to read in one go, small enough that no thread is left with much more than the others.
_PIECE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class SliceCopy:
    """One tensor, or a region of it, on its way into a parameter."""

    tensor: TensorInfo
    region: StridedCopy

    @property
    def offset(self) -> int:
        """The place in the file of its first byte; of a computed tensor about that of its first source."""
        tensor, start = self.tensor, self.region.source
        if isinstance(tensor, ComputedTensor):
            return tensor.offset + start * tensor.nbytes // prod(tensor.shape)
        return tensor.offset + start * DTYPE_BITS[tensor.dtype] // 8

    @property
    def nbytes(self) -> int:
        """Bytes that are read for it in one go."""
        if isinstance(self.tensor, ComputedTensor):
            return self.tensor.encoding.nbytes(*self.rectangle)
        return self.region.elements * DTYPE_BITS[self.tensor.dtype] // 8

    @property
    def rectangle(self) -> tuple[range, range]:
        """The rows and columns of a computed tensor that it takes, if it is one of ``pieces``."""
        row, column = divmod(self.region.source, self.tensor.shape[1])
        return range(row, row + self.region.rows), range(column, column + self.region.columns)

    def pieces(self) -> Iterator[SliceCopy]:
        """Cut it into the work of threads: a computed tensor into rectangles, where that is cheapest."""
        tensor, itemsize = self.tensor, DTYPE_BITS[self.tensor.dtype] // 8
        if not isinstance(tensor, ComputedTensor):
            yield from (SliceCopy(tensor, part) for part in self.region.split(_PIECE_BYTES // itemsize))
            return
        step = tensor.encoding.row_step
        for region in self.region.by_rows_of(tensor.shape[1]):
            first, row = region.source // tensor.shape[1], 0
            together = max(1, _PIECE_BYTES // itemsize // region.columns // step) * step
            while row < region.rows:
                count = min(region.rows - row, together - (first + row) % together)
                yield SliceCopy(tensor, region.some_rows(row, count))
                row += count

    def target_in(self, flat: Array) -> Array:
        """Return the place of the elements in the flattened parameter, ``[rows, columns]``; it shares memory."""
        region = self.region
        steps = tuple(stride * flat.itemsize for stride in region.target_strides)
        view: Array = as_strided(flat[region.target :], (region.rows, region.columns), steps)
        return view


@dataclass(frozen=True)
class ParameterPlan:
    """The sources of one parameter, in its shape on this rank and the dtype that the network has chosen.

    The copies write every element exactly once; there are none if the parameter is newly initialized.
    """

    name: str
    shape: Shape
    dtype: str
    copies: tuple[SliceCopy, ...]

    @property
    def kind(self) -> str:
        """The last words of its name that tell what it is: ``linear_qkv``, ``experts.weight1``."""
        *_, owner, last = self.name.split(".")
        return owner if last in ("weight", "bias") else f"{owner}.{last}"


@dataclass(frozen=True)
class Plan:
    """The work of a load on this rank: every parameter of the network, in its order.

    No parameter wants the ``unused`` tensors; those that only other ranks hold, whose number is ``elsewhere``, are not
    among them. ``fused`` has the kind of each parameter that is made of several. ``fallback`` says why only
    MindFormers' own loader can do it, and is empty if the copies can be carried out as they are; with it, of the
    ``unverifiable`` parameters no copies are known.
    """

    parameters: tuple[ParameterPlan, ...]
    unused: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()
    fallback: str = ""
    unverifiable: tuple[str, ...] = ()
    elsewhere: int = 0

    @property
    def newly_initialized(self) -> tuple[ParameterPlan, ...]:
        """The parameters that are not loaded, as tensors of another size were left out."""
        return () if self.fallback else tuple(entry for entry in self.parameters if not entry.copies)

    @cached_property
    def bytes_to_read(self) -> int:
        """Bytes of tensor data that are read from the files."""
        copies = (copy for parameter in self.parameters for copy in parameter.copies)
        return sum(
            sum(piece.nbytes for piece in copy.pieces()) if isinstance(copy.tensor, ComputedTensor) else copy.nbytes
            for copy in copies
        )
