"""A plan: for every parameter of this rank, the bytes of the files that become its elements; nothing is read for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from numpy.lib.stride_tricks import as_strided

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS, TensorInfo
from mf_qwen3_patch.families.layout import StridedCopy
from mf_qwen3_patch.families.tensors import Shape
from mf_qwen3_patch.loading.transfer.cast import Array


@dataclass(frozen=True, slots=True)
class SliceCopy:
    """One tensor, or a region of it, on its way into a parameter."""

    tensor: TensorInfo
    region: StridedCopy

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

    No parameter of this rank wants the ``unused`` tensors. ``fused`` has the kind of each parameter that is made of
    several. ``fallback`` says why only MindFormers' own loader can do it, and is empty if the copies can be carried
    out as they are; with it, of the ``unverifiable`` parameters no copies are known.
    """

    parameters: tuple[ParameterPlan, ...]
    unused: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()
    fallback: str = ""
    unverifiable: tuple[str, ...] = ()

    @property
    def newly_initialized(self) -> tuple[ParameterPlan, ...]:
        """The parameters that are not loaded, as tensors of another size were left out."""
        return () if self.fallback else tuple(entry for entry in self.parameters if not entry.copies)

    @cached_property
    def bytes_to_read(self) -> int:
        """Bytes of tensor data that are read from the files."""
        copies = [copy for parameter in self.parameters for copy in parameter.copies]
        return sum(copy.region.elements * DTYPE_BITS[copy.tensor.dtype] // 8 for copy in copies)
