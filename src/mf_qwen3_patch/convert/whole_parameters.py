"""MindFormers' parameters as files hold them, whole: made of HuggingFace tensors, or taken apart into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES, TensorInfo
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import Fusion, Placement, strided_copies, whole
from mf_qwen3_patch.families.tensors import ModelDims, Shape
from mf_qwen3_patch.loading.transfer.name_mapping import group_by_parameter
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy


@dataclass(frozen=True)
class WholeParameter:
    """A parameter that is not sliced for ranks; the names of its tensors go expert by expert, part by part."""

    name: str
    tensors: tuple[tuple[str, ...], ...]
    fusion: Fusion

    def merged(self, tensors: Mapping[str, TensorInfo]) -> ParameterPlan:
        """Plan the parameter out of its HuggingFace tensors, in the dtype of the first one."""
        copies = tuple(
            SliceCopy(tensors[name], region)
            for name, shape, place in self._places()
            for region in strided_copies(whole(shape), place, shape[0], prod(shape[1:]))
        )
        return ParameterPlan(self.name, self.fusion.shape, DTYPE_NAMES[copies[0].tensor.dtype], copies)

    def split(self, tensor: TensorInfo) -> Iterator[ParameterPlan]:
        """Plan its HuggingFace tensors: the same copies, from the other side."""
        for name, shape, place in self._places():
            regions = strided_copies(place, whole(shape), shape[0], prod(shape[1:]))
            copies = tuple(SliceCopy(tensor, region) for region in regions)
            yield ParameterPlan(name, shape, DTYPE_NAMES[tensor.dtype], copies)

    def _places(self) -> Iterator[tuple[str, Shape, Placement]]:
        for expert, row in enumerate(self.tensors):
            for part, name in enumerate(row):
                yield name, self.fusion.parts[part], self.fusion.placement(part, expert)


def whole_parameters(
    family: Family, dims: ModelDims, layouts: Layouts, head: Shape | None
) -> tuple[WholeParameter, ...]:
    """Arrange a model's HuggingFace tensors as MindFormers has them; also the ``head`` that a tied one may have."""
    shapes = family.expected_tensors(dims)
    if head is not None:  # nothing gets lost
        shapes.setdefault(family.head, head)
    parameters = []
    for group in group_by_parameter(family.load(family.inference_class), shapes, family):
        parts, fused = tuple(shapes[name] for name in group.names[0]), group.fused
        fusion = Fusion(parts) if fused is None else fused.layout(layouts.of(fused), parts, dims)
        parameters.append(WholeParameter(group.parameter, group.names, fusion))
    return tuple(parameters)
