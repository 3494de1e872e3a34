"""Making plans: of a HuggingFace directory by fused slices, of a converted or merged one by its layout.

What only stock can place is planned for the sake of the verification.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from mindformers.parallel_core.inference.parallel_state import get_pipeline_model_parallel_world_size
from mindformers.version_control import is_310p
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import Fusion, Layout, Placement, whole
from mf_qwen3_patch.families.tensors import ModelDims, Shape
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.cast import SOURCE_DTYPES, TARGET_DTYPES
from mf_qwen3_patch.loading.transfer.name_mapping import place_of
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, Plan, SliceCopy
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible, Slice, slices_of

_Part: TypeAlias = tuple[TensorInfo, Placement, Slice]
"""A tensor, where in it the matrix of a HuggingFace tensor lies, and what a parameter holds of that matrix."""


def plan(
    model: Any, tensors: Mapping[str, TensorInfo], family: Family, *, left_out: Collection[str] = frozenset()
) -> Plan:
    """Plan the load of a checkpoint, and check that every parameter gets all that it needs.

    The network's parameters are not touched. Tensors go by HuggingFace name, or by the names that MindFormers gives
    the parts. A parameter with a part that is ``left_out`` is newly initialized, all of it.

    Raises ``PlanNotPossible`` for a network that the fast loader does not know, else one error for all that is wrong:
    parameters without a tensor (``IncompleteCheckpoint``), shapes that differ (``ConfigMismatch``), dtypes that can't
    be loaded, and two tensors for one place (``UnsupportedCheckpoint``).
    """
    _refuse_devices_of_their_own()
    sources, problems = _sources(type(model), tensors, family)
    parameters: list[ParameterPlan] = []
    unused: list[str] = []
    fused: list[str] = []
    for name, parameter in network_parameters(model).items():
        slices = _slices(parameter, family)
        found = sources.pop(name, {})
        parts: list[_Part] = []
        if any(tensor.name in left_out for tensor in found.values()):
            unused += [tensor.name for tensor in found.values()]
            slices = ()
        for slot, piece in enumerate(slices):
            tensor = found.get(slot)
            if tensor is None:
                problems.append(_missing(name, slot, tensors, family))
            elif problem := _unfit(tensor, name, piece.shape):
                problems.append(problem)
            else:
                parts.append((tensor, whole(tensor.shape), piece))
        entry = _entry(parameter, parts)
        parameters.append(entry)
        fused += [entry.kind] * (len(slices) > 1)
    if problems:
        raise error_for(problems, _directory_of(tensors))
    unused += [tensor.name for found in sources.values() for tensor in found.values()]
    return Plan(tuple(parameters), tuple(dict.fromkeys(unused)), tuple(fused))


def plan_for_verification(model: Any, tensors: Mapping[str, TensorInfo], family: Family, reason: str) -> Plan:
    """Plan what, for a ``reason``, only MindFormers' own loader can place: to read back what it has written."""
    sources, _ = _sources(type(model), tensors, family)
    parameters: list[ParameterPlan] = []
    unknown: list[str] = []
    for name, parameter in network_parameters(model).items():
        try:
            parts: list[_Part] = []
            for number, piece in enumerate(_slices(parameter, family, model)):
                tensor = sources[name][number if piece.slot is None else piece.slot]
                if problem := _unfit(tensor, name, piece.shape):
                    raise PlanNotPossible(problem.summary)
                parts.append((tensor, whole(tensor.shape), piece))
            parameters.append(_entry(parameter, parts))
        except (PlanNotPossible, KeyError):
            unknown.append(name)
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
    MindFormers' own loader can do it, if that is so: the plan is then made for the verification. Raises as ``plan``
    does, but no ``PlanNotPossible`` with a ``fallback``.
    """
    if not fallback:
        _refuse_devices_of_their_own()
    problems: list[Problem] = []
    parameters, unknown = [], []
    # Some save the network itself, whose names have this in front.
    by_name = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    networks = network_parameters(model)
    for name, parameter in networks.items():
        tensor, shape = by_name.get(name), tuple(parameter.shape)
        try:
            slices = _slices(parameter, family)
        except PlanNotPossible:
            if not fallback:
                raise
            unknown.append(name)
            continue
        if ranks > 1:
            slices, fusion = (Slice(shape, axis=0, start=0, length=shape[0]),), Fusion((shape,))
        elif fused := family.fused_of(name):
            fusion = fused.layout(layout, [piece.shape for piece in slices[: len(fused.parts)]], dims)
        else:
            fusion = Fusion((slices[0].shape,))
        parts: list[_Part] = []
        if tensor is None:
            advice = "convert the HuggingFace directory again, or load it directly, without qkv_concat"
            problems.append(Problem(IncompleteCheckpoint, f"{name} is missing", parameter=name, advice=advice))
        elif problem := _unfit(tensor, name, fusion.shape, fused=True):
            problems.append(problem)
        else:
            for slot, piece in enumerate(slices):
                expert, part = divmod(slot, len(fusion.parts))
                parts.append((tensor, fusion.placement(part, expert), piece))
        parameters.append(_entry(parameter, parts))
    if problems:
        raise error_for(problems, _directory_of(tensors))
    unused = tuple(tensor.name for name, tensor in by_name.items() if name not in networks)
    return Plan(tuple(parameters), unused, fallback=fallback, unverifiable=tuple(unknown))


def _slices(parameter: Parameter, family: Family, model: Any = None) -> tuple[Slice, ...]:
    slices = slices_of(parameter, family.parts_of(parameter.name), model)
    if str(parameter.dtype).lower() not in TARGET_DTYPES:
        raise PlanNotPossible(f"{parameter.name} is {parameter.dtype}, not one of {', '.join(TARGET_DTYPES)}")
    return slices


def _entry(parameter: Parameter, parts: Iterable[_Part]) -> ParameterPlan:
    shape = tuple(parameter.shape)
    copies = (SliceCopy(tensor, region) for tensor, place, piece in parts for region in piece.copies_from(place, shape))
    return ParameterPlan(parameter.name, shape, str(parameter.dtype).lower(), tuple(copies))


def _refuse_devices_of_their_own() -> None:
    if is_310p():
        raise PlanNotPossible("an Ascend 310P keeps its weights in a format of its own (NZ)")
    if get_pipeline_model_parallel_world_size() > 1:
        raise PlanNotPossible("pipeline parallelism spreads the layers over ranks")


def _sources(
    model_class: Any, tensors: Mapping[str, TensorInfo], family: Family
) -> tuple[dict[str, dict[int, TensorInfo]], list[Problem]]:
    """Group the tensors: parameter name → slot (part, expert by expert) → tensor."""
    sources: dict[str, dict[int, TensorInfo]] = {}
    problems = []
    for name, tensor in tensors.items():
        place = place_of(model_class, name, family)
        if place.fused is None and family.fused_of(place.parameter) is not None:
            raise PlanNotPossible(f"{name} is merged already, in a layout that the file does not tell")
        slot = place.part + (place.expert or 0) * family.parts_of(place.parameter)
        found = sources.setdefault(place.parameter, {})
        if slot in found:
            summary = f"{found[slot].name} and {name} are names for the same weights"
            where, advice = _where(tensor, place.parameter), "keep one of them in the checkpoint"
            problems.append(Problem(UnsupportedCheckpoint, summary, **where, advice=advice))
        found[slot] = tensor
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


def _unfit(tensor: TensorInfo, name: str, shape: Shape, *, fused: bool = False) -> Problem | None:
    """Return why a tensor can't be loaded as this shape of a parameter, or of a part if it is not ``fused`` yet."""
    if tensor.shape == shape and tensor.dtype in SOURCE_DTYPES:
        return None
    where = _where(tensor, name)
    kind = UnsupportedCheckpoint if tensor.shape == shape else ConfigMismatch
    expected: object = list(shape)
    found: object = list(tensor.shape)
    if tensor.shape == shape:
        summary = f"{tensor.name} is {tensor.dtype}, which can't be loaded into an unquantized network"
        expected, found = f"one of {', '.join(SOURCE_DTYPES)}", tensor.dtype
        advice = "use a checkpoint in bfloat16, float16 or float32"
    elif fused:
        del where["tensor"]  # it is the parameter
        summary = f"{name} has another shape than in the model"
        advice = "the files are not from this model, or its config contradicts them"
    else:
        summary = f"{tensor.name} has another shape than the network wants for {name}"
        expected, found = f"{expected} (the network, all ranks together)", f"{found} (the file)"
        advice = "make the model's config agree with the checkpoint's config.json"
    return Problem(kind, summary, **where, expected=expected, found=found, advice=advice)
