"""Which bytes of which file become which part of which parameter of this rank, decided before any is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from mindformers.parallel_core.inference.parallel_state import get_pipeline_model_parallel_world_size
from mindformers.version_control import is_310p
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS, TensorInfo
from mf_qwen3_patch.errors import (
    ConfigMismatch,
    IncompleteCheckpoint,
    Problem,
    UnsupportedCheckpoint,
    error_for,
)
from mf_qwen3_patch.families.mindformers import Family
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.cast import SOURCE_DTYPES, TARGET_DTYPES, Array
from mf_qwen3_patch.loading.transfer.name_mapping import place_of
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible, Shard, shards_of


@dataclass(frozen=True)
class SliceCopy:
    """One tensor, or the part of it that this rank holds, on its way into a parameter.

    Attributes:
        tensor: Where the whole tensor is.
        shard: Which range of it is copied, and to where.
    """

    tensor: TensorInfo
    shard: Shard

    @property
    def source(self) -> tuple[slice, ...]:
        """The region of the tensor that is read, as an index."""
        return self._region(self.shard.start)

    @property
    def destination(self) -> tuple[slice, ...]:
        """The region of the parameter that is written, as an index; of an expert's transposed matrix if it is one."""
        return self._region(self.shard.destination)

    def written(self, parameter: Array) -> Array:
        """Return the region of the parameter that is written, with the axes of the tensor; it shares memory.

        Args:
            parameter: What the parameter holds, in its shape.
        """
        whole = parameter if self.shard.expert is None else parameter[self.shard.expert].T
        return whole[self.destination]

    @property
    def elements(self) -> int:
        """How many elements are copied."""
        shape = self.shard.shape
        return prod(shape[: self.shard.axis]) * self.shard.length * prod(shape[self.shard.axis + 1 :])

    @property
    def nbytes(self) -> int:
        """How many bytes are read."""
        return self.elements * DTYPE_BITS[self.tensor.dtype] // 8

    def _region(self, start: int) -> tuple[slice, ...]:
        region = [slice(0, size) for size in self.shard.shape]
        region[self.shard.axis] = slice(start, start + self.shard.length)
        return tuple(region)


@dataclass(frozen=True)
class ParameterPlan:
    """What one parameter is made of.

    Attributes:
        name: The MindFormers name.
        shape: On this rank.
        dtype: ``float32``, ``float16`` or ``bfloat16``: the network's choice, not the checkpoint's.
        copies: Together they write every element exactly once; none if the parameter starts anew.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    copies: tuple[SliceCopy, ...]

    @property
    def kind(self) -> str:
        """The last words of its name that tell what it is: ``linear_qkv``, ``experts.weight1``."""
        *_, owner, last = self.name.split(".")
        return owner if last in ("weight", "bias") else f"{owner}.{last}"


@dataclass(frozen=True)
class Plan:
    """What a load will do on this rank.

    Attributes:
        parameters: Every parameter of the network, in its order.
        unused: Tensors that no parameter of this rank wants.
    """

    parameters: tuple[ParameterPlan, ...]
    unused: tuple[str, ...]

    @property
    def anew(self) -> tuple[ParameterPlan, ...]:
        """The parameters that are not loaded but start anew, as tensors of another size were left out."""
        return tuple(entry for entry in self.parameters if not entry.copies)

    @cached_property
    def bytes_to_read(self) -> int:
        """How many bytes of tensor data are read from the files."""
        return sum(copy.nbytes for parameter in self.parameters for copy in parameter.copies)


def plan(
    model: Any, tensors: Mapping[str, TensorInfo], family: Family, *, left_out: Collection[str] = frozenset()
) -> Plan:
    """Decide what to read, and check that every parameter gets all that it needs.

    Args:
        model: The stock inference network; its parameters are not touched.
        tensors: What the checkpoint holds, by HuggingFace name.
        family: The model family.
        left_out: Tensors of which no part is to be loaded; a parameter with such a part starts anew, all of it.

    Raises:
        PlanNotPossible: The network is not one that the fast loader knows (quantized layers, an Ascend
            310P, pipeline parallelism).
        IncompleteCheckpoint: A parameter has no source.
        ConfigMismatch: The network and the checkpoint disagree about a shape.
        UnsupportedCheckpoint: A tensor's dtype can't be loaded, or two tensors claim one place.
    """
    if is_310p():
        raise PlanNotPossible("an Ascend 310P keeps its weights in a format of its own (NZ)")
    if get_pipeline_model_parallel_world_size() > 1:
        raise PlanNotPossible("pipeline parallelism spreads the layers over ranks")
    sources, problems = _sources(type(model), tensors, family)
    parameters: list[ParameterPlan] = []
    unused: list[str] = []
    for name, parameter in network_parameters(model).items():
        expected = shards_of(parameter, len(family.parts_of(name)))
        dtype = _dtype(parameter)
        found = sources.pop(name, {})
        copies = []
        if any(tensor.name in left_out for tensor in found.values()):
            unused += [tensor.name for tensor in found.values()]
            expected = ()
        for part, shard in enumerate(expected):
            if part not in found:
                problems.append(_missing(name, part, tensors, family))
            elif problem := _unfit(name, found[part], shard):
                problems.append(problem)
            else:
                copies.append(SliceCopy(found[part], shard))
        parameters.append(ParameterPlan(name, tuple(parameter.shape), dtype, tuple(copies)))
    if problems:
        some = next(iter(tensors.values()), None)
        raise error_for(problems, None if some is None else str(some.file.parent))
    unused += [tensor.name for parts in sources.values() for tensor in parts.values()]
    return Plan(tuple(parameters), tuple(unused))


def _sources(
    model_class: Any, tensors: Mapping[str, TensorInfo], family: Family
) -> tuple[dict[str, dict[int, TensorInfo]], list[Problem]]:
    """Group the tensors: parameter name → index of the part → tensor."""
    sources: dict[str, dict[int, TensorInfo]] = {}
    problems = []
    for name, tensor in tensors.items():
        place = place_of(model_class, name, family)
        count = len(family.parts_of(place.parameter))
        if place.merged is None and (count > 1 or family.stacks(place.parameter)):
            raise PlanNotPossible(f"{name} is merged already, in a layout that the file does not tell")
        part = place.part + (place.expert or 0) * count
        parts = sources.setdefault(place.parameter, {})
        if part in parts:
            problems.append(
                Problem(
                    UnsupportedCheckpoint,
                    f"{parts[part].name} and {name} are names for the same weights",
                    file=tensor.file.name,
                    tensor=name,
                    parameter=place.parameter,
                    advice="keep one of them in the checkpoint",
                )
            )
        parts[part] = tensor
    return sources, problems


def _dtype(parameter: Parameter) -> str:
    name = str(parameter.dtype).lower()
    if name not in TARGET_DTYPES:
        raise PlanNotPossible(f"{parameter.name} is {parameter.dtype}, not one of {', '.join(TARGET_DTYPES)}")
    return name


def _missing(name: str, part: int, tensors: Mapping[str, TensorInfo], family: Family) -> Problem:
    parts = family.parts_of(name)
    *path, element, last = name.split(".")
    if family.stacks(name):
        expert, part = divmod(part, len(parts))
        what, wanted = f"expert {expert}'s {parts[part]}", [*path, element, str(expert), parts[part], "weight"]
    else:
        what = f"its part {parts[part]}" if len(parts) > 1 else "it"
        wanted = [*path, parts[part], last]
    return Problem(
        IncompleteCheckpoint,
        f"the network has a parameter {name}, but the checkpoint has no tensor for {what}",
        parameter=name,
        expected=f"a tensor for {'.'.join(wanted)}",
        found=f"{len(tensors)} tensors, none of that name",
        advice="complete the download, or make the model's config agree with the checkpoint",
    )


def _unfit(name: str, tensor: TensorInfo, shard: Shard) -> Problem | None:
    if tensor.shape != shard.shape:
        return Problem(
            ConfigMismatch,
            f"{tensor.name} has another shape than the network wants for {name}",
            file=tensor.file.name,
            tensor=tensor.name,
            parameter=name,
            expected=f"{list(shard.shape)} (the network, all ranks together)",
            found=f"{list(tensor.shape)} (the file)",
            advice="make the model's config agree with the checkpoint's config.json",
        )
    if tensor.dtype not in SOURCE_DTYPES:
        return Problem(
            UnsupportedCheckpoint,
            f"{tensor.name} is {tensor.dtype}, which can't be loaded into an unquantized network",
            file=tensor.file.name,
            tensor=tensor.name,
            parameter=name,
            expected=f"one of {', '.join(SOURCE_DTYPES)}",
            found=tensor.dtype,
            advice="use a checkpoint in bfloat16, float16 or float32",
        )
    return None
