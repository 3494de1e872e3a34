"""Making plans: of a HuggingFace directory by fused slices, of a converted or merged one by its layout.

What only stock can place is planned for the sake of the verification.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from mindformers.parallel_core.inference.parallel_state import get_pipeline_model_parallel_world_size
from mindformers.version_control import is_310p
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import Fusion, Layout, Placement, StridedCopy, whole
from mf_qwen3_patch.families.tensors import ModelDims, Shape
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.cast import SOURCE_DTYPES, TARGET_DTYPES
from mf_qwen3_patch.loading.transfer.name_mapping import place_of
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, Plan, SliceCopy
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible, Slice, slices_of


@dataclass(frozen=True, slots=True)
class _Source:
    """A HuggingFace tensor's matrix, in a file of its own or as a part of something larger."""

    tensor: TensorInfo
    shape: Shape
    placement: Placement


def plan(
    model: Any, tensors: Mapping[str, TensorInfo], family: Family, *, left_out: Collection[str] = frozenset()
) -> Plan:
    """Plan the load of a checkpoint, and check that every parameter gets all that it needs.

    The network's parameters are not touched. Tensors go by HuggingFace name, or by the names that MindFormers gives
    the parts. A parameter with a part that is ``left_out`` is newly initialized, all of it.

    Raises:
        PlanNotPossible: The network is not one that the fast loader knows (quantized layers, an Ascend
            310P, pipeline parallelism).
        IncompleteCheckpoint: A parameter has no source.
        ConfigMismatch: The network and the checkpoint disagree about a shape.
        UnsupportedCheckpoint: A tensor's dtype can't be loaded, or two tensors claim one place.
    """
    _refuse_devices_of_their_own()
    sources, problems = _sources(type(model), tensors, family)
    parameters: list[ParameterPlan] = []
    unused: list[str] = []
    fused: list[str] = []
    for name, parameter in network_parameters(model).items():
        expected = slices_of(parameter, family.parts_of(name))
        found = sources.pop(name, {})
        copies: list[SliceCopy] = []
        if any(source.tensor.name in left_out for source in found.values()):
            unused += [source.tensor.name for source in found.values()]
            expected = ()
        for slot, piece in enumerate(expected):
            if slot not in found:
                problems.append(_missing(name, slot, tensors, family))
            elif problem := _unfit(name, found[slot], piece):
                problems.append(problem)
            else:
                copies += _copies(found[slot], piece, parameter)
        entry = ParameterPlan(name, tuple(parameter.shape), _dtype_of(parameter), tuple(copies))
        parameters.append(entry)
        fused += [entry.kind] * (len(expected) > 1)
    if problems:
        raise error_for(problems, _directory_of(tensors))
    unused += [source.tensor.name for parts in sources.values() for source in parts.values()]
    return Plan(tuple(parameters), tuple(dict.fromkeys(unused)), tuple(fused))


def plan_for_verification(model: Any, tensors: Mapping[str, TensorInfo], family: Family, reason: str) -> Plan:
    """Plan what, for a ``reason``, only MindFormers' own loader can place: to read back what it has written."""
    sources, _ = _sources(type(model), tensors, family)
    parameters: list[ParameterPlan] = []
    unknown: list[str] = []
    for name, parameter in network_parameters(model).items():
        try:
            expected = slices_of(parameter, family.parts_of(name), model=model)
            dtype = _dtype_of(parameter)
            slots = [slot if piece.slot is None else piece.slot for slot, piece in enumerate(expected)]
            found = [(sources[name][slot], piece) for slot, piece in zip(slots, expected, strict=True)]
            fits = not any(_unfit(name, source, piece) for source, piece in found)
        except (PlanNotPossible, KeyError):
            fits = False
        if not fits:
            unknown.append(name)
            continue
        copies = [copy for source, piece in found for copy in _copies(source, piece, parameter)]
        parameters.append(ParameterPlan(name, tuple(parameter.shape), dtype, tuple(copies)))
    return Plan(tuple(parameters), fallback=reason, unverifiable=tuple(unknown))


def plan_fused(
    model: Any,
    tensors: Mapping[str, TensorInfo],
    family: Family,
    dims: ModelDims,
    layout: Layout,
    *,
    ranks: int = 1,
    fallback: str = "",
) -> Plan:
    """Plan the load of parameters that are fused already in a layout, in MindFormers' names.

    The files hold whole parameters, or the slices of one of ``ranks`` ranks, this one. ``fallback`` says why only
    MindFormers' own loader can do it, if that is so: the plan is then made for the verification.

    Raises:
        PlanNotPossible: As ``plan`` does, unless ``fallback`` is given.
        IncompleteCheckpoint: A parameter is not there.
        ConfigMismatch: A parameter has another shape than in the network.
        UnsupportedCheckpoint: A tensor's dtype can't be loaded.
    """
    if not fallback:
        _refuse_devices_of_their_own()
    problems: list[Problem] = []
    parameters, unknown = [], []
    # Some save the network itself, whose names have this in front.
    by_name = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    networks = network_parameters(model)
    for name, parameter in networks.items():
        tensor = by_name.get(name)
        copies: list[SliceCopy] = []
        try:
            slices, dtype = slices_of(parameter, family.parts_of(name)), _dtype_of(parameter)
        except PlanNotPossible:
            if not fallback:
                raise
            unknown.append(name)
            continue
        if tensor is None:
            advice = "convert the HuggingFace directory again, or load it directly, without qkv_concat"
            problems.append(Problem(IncompleteCheckpoint, f"{name} is missing", parameter=name, advice=advice))
        else:
            fusion = None if ranks > 1 else _fusion(family, name, slices, layout, dims)
            shape = tuple(parameter.shape) if fusion is None else fusion.shape
            if problem := _unfit_parameter(tensor, name, shape):
                problems.append(problem)
            elif fusion is None:
                copies.append(SliceCopy(tensor, _identity(shape)))
            else:
                for slot, piece in enumerate(slices):
                    expert, part = divmod(slot, len(fusion.parts))
                    source = _Source(tensor, piece.shape, fusion.placement(part, expert))
                    copies += _copies(source, piece, parameter)
        parameters.append(ParameterPlan(name, tuple(parameter.shape), dtype, tuple(copies)))
    if problems:
        raise error_for(problems, _directory_of(tensors))
    unused = tuple(tensor.name for name, tensor in by_name.items() if name not in networks)
    return Plan(tuple(parameters), unused, fallback=fallback, unverifiable=tuple(unknown))


def _fusion(family: Family, name: str, slices: Sequence[Slice], layout: Layout, dims: ModelDims) -> Fusion:
    """Return how the parts of a whole parameter lie in it; the slices know the shapes of the whole parts."""
    fused = family.fused_of(name)
    if fused is None:
        return Fusion((slices[0].shape,))
    return fused.layout(layout, [piece.shape for piece in slices[: len(fused.parts)]], dims)


def _dtype_of(parameter: Parameter) -> str:
    name = str(parameter.dtype).lower()
    if name not in TARGET_DTYPES:
        raise PlanNotPossible(f"{parameter.name} is {parameter.dtype}, not one of {', '.join(TARGET_DTYPES)}")
    return name


def _refuse_devices_of_their_own() -> None:
    if is_310p():
        raise PlanNotPossible("an Ascend 310P keeps its weights in a format of its own (NZ)")
    if get_pipeline_model_parallel_world_size() > 1:
        raise PlanNotPossible("pipeline parallelism spreads the layers over ranks")


def _identity(shape: Shape) -> StridedCopy:
    rows, columns = (1, shape[0]) if len(shape) == 1 else (shape[0], prod(shape[1:]))
    return StridedCopy(rows, columns, 0, columns, 0, (columns, 1))


def _copies(source: _Source, piece: Slice, parameter: Parameter) -> list[SliceCopy]:
    regions = piece.copies_from(source.placement, tuple(parameter.shape))
    return [SliceCopy(source.tensor, region) for region in regions]


def _sources(
    model_class: Any, tensors: Mapping[str, TensorInfo], family: Family
) -> tuple[dict[str, dict[int, _Source]], list[Problem]]:
    """Group the tensors: parameter name → slot (part, expert by expert) → source."""
    sources: dict[str, dict[int, _Source]] = {}
    problems = []
    for name, tensor in tensors.items():
        place = place_of(model_class, name, family)
        count = family.parts_of(place.parameter)
        if place.fused is None and family.fused_of(place.parameter) is not None:
            raise PlanNotPossible(f"{name} is merged already, in a layout that the file does not tell")
        slot = place.part + (place.expert or 0) * count
        parts = sources.setdefault(place.parameter, {})
        if slot in parts:
            summary = f"{parts[slot].tensor.name} and {name} are names for the same weights"
            where, advice = _where(tensor, place.parameter), "keep one of them in the checkpoint"
            problems.append(Problem(UnsupportedCheckpoint, summary, **where, advice=advice))
        parts[slot] = _Source(tensor, tensor.shape, whole(tensor.shape))
    return sources, problems


def _directory_of(tensors: Mapping[str, TensorInfo]) -> str | None:
    some = next(iter(tensors.values()), None)
    return None if some is None else str(some.file.parent)


def _where(tensor: TensorInfo, parameter: str) -> dict[str, Any]:
    return {"file": tensor.file.name, "tensor": tensor.name, "parameter": parameter}


def _missing(name: str, slot: int, tensors: Mapping[str, TensorInfo], family: Family) -> Problem:
    fused = family.fused_of(name)
    *path, element, last = name.split(".")
    if fused is None:
        what, wanted = "it", [name]
    elif fused.stacked:
        expert, part = divmod(slot, len(fused.parts))
        what = f"expert {expert}'s {fused.parts[part]}"
        wanted = [*path, element, str(expert), fused.parts[part], "weight"]
    else:
        what, wanted = f"its part {fused.parts[slot]}", [*path, fused.parts[slot], last]
    summary = f"the network has a parameter {name}, but the checkpoint has no tensor for {what}"
    values = {"expected": f"a tensor for {'.'.join(wanted)}", "found": f"{len(tensors)} tensors, none of that name"}
    advice = "complete the download, or make the model's config agree with the checkpoint"
    return Problem(IncompleteCheckpoint, summary, parameter=name, **values, advice=advice)


def _unfit(name: str, source: _Source, piece: Slice) -> Problem | None:
    tensor = source.tensor
    if source.shape == piece.shape:
        return _unloadable(tensor, name)
    summary = f"{tensor.name} has another shape than the network wants for {name}"
    expected, found = f"{list(piece.shape)} (the network, all ranks together)", f"{list(source.shape)} (the file)"
    values = {**_where(tensor, name), "expected": expected, "found": found}
    return Problem(
        ConfigMismatch, summary, **values, advice="make the model's config agree with the checkpoint's config.json"
    )


def _unloadable(tensor: TensorInfo, name: str) -> Problem | None:
    if tensor.dtype in SOURCE_DTYPES:
        return None
    summary = f"{tensor.name} is {tensor.dtype}, which can't be loaded into an unquantized network"
    values = {**_where(tensor, name), "expected": f"one of {', '.join(SOURCE_DTYPES)}", "found": tensor.dtype}
    return Problem(UnsupportedCheckpoint, summary, **values, advice="use a checkpoint in bfloat16, float16 or float32")


def _unfit_parameter(tensor: TensorInfo, name: str, shape: Shape) -> Problem | None:
    if tensor.shape == shape:
        return _unloadable(tensor, name)
    where = {"file": tensor.file.name, "parameter": name}
    summary, expected, found = f"{name} has another shape than in the model", list(shape), list(tensor.shape)
    advice = "the files are not from this model, or its config contradicts them"
    return Problem(ConfigMismatch, summary, **where, expected=expected, found=found, advice=advice)
