"""Making plans: of a HuggingFace directory by fused slices, of a converted or merged one by its layout.

What only stock can place is planned for the sake of the verification.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from mindformers.version_control import is_310p
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import Fusion, Layout, Placement, whole
from mf_qwen3_patch.families.tensors import ModelDims, Shape
from mf_qwen3_patch.loading.transfer.cast import SOURCE_DTYPES, TARGET_DTYPES
from mf_qwen3_patch.loading.transfer.name_mapping import Place, place_of
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, Plan, SliceCopy
from mf_qwen3_patch.loading.transfer.rank_share import RankShare
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible, Slice, slices_of

_Part: TypeAlias = tuple[TensorInfo, Placement, Slice]
"""A tensor, where in it the matrix of a HuggingFace tensor lies, and what a parameter holds of that matrix."""


def plan(
    model: Any, tensors: Mapping[str, TensorInfo], family: Family, *, left_out: Collection[str] = frozenset()
) -> Plan:
    """Plan the load of a checkpoint, and check that every parameter gets all that it needs.

    The network's parameters are not touched. Tensors go by HuggingFace name, or by the names that MindFormers gives
    the parts. A parameter with a part that is ``left_out`` is newly initialized, all of it. What only other ranks hold,
    layers of another pipeline stage or experts of another expert-parallel rank, is left to them.

    Raises ``PlanNotPossible`` for a network that the fast loader does not know, else one error for all that is wrong:
    parameters without a tensor (``IncompleteCheckpoint``), shapes that differ (``ConfigMismatch``), dtypes that can't
    be loaded, and two tensors for one place (``UnsupportedCheckpoint``).
    """
    _refuse_formats_of_their_own()
    share = RankShare(model, family)
    sources, elsewhere, problems = _sources(type(model), tensors, family, share)
    parameters: list[ParameterPlan] = []
    unused: list[str] = []
    fused: list[str] = []
    for name, parameter in share.parameters.items():
        slices = _slices(parameter, family, share)
        found = sources.pop(name, {})
        parts: list[_Part] = []
        if any(tensor.name in left_out for tensor in found.values()):
            unused += [tensor.name for tensor in found.values()]
            slices = ()
        for piece in slices:
            tensor = found.get(piece.slot)
            if tensor is None:
                problems.append(_missing(name, piece.slot, tensors, family))
            elif problem := _unfit(tensor, name, piece.shape):
                problems.append(problem)
            else:
                parts.append((tensor, whole(tensor.shape), piece))
        entry = _entry(parameter, parts)
        parameters.append(entry)
        fused += [entry.kind] * (len({piece.slot for piece in slices}) > 1)
    if problems:
        raise error_for(problems, _directory_of(tensors))
    unused += [tensor.name for found in sources.values() for tensor in found.values()]
    return Plan(tuple(parameters), tuple(dict.fromkeys(unused)), tuple(fused), elsewhere=elsewhere)


def plan_for_verification(model: Any, tensors: Mapping[str, TensorInfo], family: Family, reason: str) -> Plan:
    """Plan what, for a ``reason``, only MindFormers' own loader can place: to read back what it has written."""
    share = RankShare(model, family)
    sources, elsewhere, _ = _sources(type(model), tensors, family, share)
    parameters: list[ParameterPlan] = []
    unknown: list[str] = []
    for name, parameter in share.parameters.items():
        try:
            parts: list[_Part] = []
            for piece in _slices(parameter, family, share):
                tensor = sources[name][piece.slot]
                if problem := _unfit(tensor, name, piece.shape):
                    raise PlanNotPossible(problem.summary)
                parts.append((tensor, whole(tensor.shape), piece))
            parameters.append(_entry(parameter, parts))
        except (PlanNotPossible, KeyError):
            unknown.append(name)
    return Plan(tuple(parameters), fallback=reason, unverifiable=tuple(unknown), elsewhere=elsewhere)


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
        _refuse_formats_of_their_own()
    share = RankShare(model, family)
    problems: list[Problem] = []
    parameters, unknown = [], []
    # Some save the network itself, whose names have this in front.
    by_name = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    for name, parameter in share.parameters.items():
        tensor, shape = by_name.get(name), tuple(parameter.shape)
        try:
            slices = _slices(parameter, family, share)
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
            for piece in slices:
                expert, part = divmod(piece.slot, len(fusion.parts))
                parts.append((tensor, fusion.placement(part, expert), piece))
        parameters.append(_entry(parameter, parts))
    if problems:
        raise error_for(problems, _directory_of(tensors))
    others = {name: tensor for name, tensor in by_name.items() if name not in share.parameters}
    unused = tuple(tensor.name for name, tensor in others.items() if not share.is_elsewhere(Place(name)))
    elsewhere = len(others) - len(unused)
    return Plan(tuple(parameters), unused, fallback=fallback, unverifiable=tuple(unknown), elsewhere=elsewhere)


def _slices(parameter: Parameter, family: Family, share: RankShare) -> tuple[Slice, ...]:
    slices = slices_of(parameter, family.parts_of(parameter.name), share.experts)
    if str(parameter.dtype).lower() not in TARGET_DTYPES:
        raise PlanNotPossible(f"{parameter.name} is {parameter.dtype}, not one of {', '.join(TARGET_DTYPES)}")
    return slices


def _entry(parameter: Parameter, parts: Iterable[_Part]) -> ParameterPlan:
    shape = tuple(parameter.shape)
    copies = (SliceCopy(tensor, region) for tensor, place, piece in parts for region in piece.copies_from(place, shape))
    return ParameterPlan(parameter.name, shape, str(parameter.dtype).lower(), tuple(copies))


def _refuse_formats_of_their_own() -> None:
    if is_310p():
        raise PlanNotPossible("an Ascend 310P keeps its weights in a format of its own (NZ)")


def _sources(
    model_class: Any, tensors: Mapping[str, TensorInfo], family: Family, share: RankShare
) -> tuple[dict[str, dict[int, TensorInfo]], int, list[Problem]]:
    """Group this rank's tensors: parameter name → slot (part, expert by expert) → tensor; count those of others."""
    sources: dict[str, dict[int, TensorInfo]] = {}
    elsewhere, problems = 0, []
    for name, tensor in tensors.items():
        place = place_of(model_class, name, family)
        if place.fused is None and family.fused_of(place.parameter) is not None:
            raise PlanNotPossible(f"{name} is merged already, in a layout that the file does not tell")
        if share.is_elsewhere(place):
            elsewhere += 1
            continue
        slot = place.part + (place.expert or 0) * family.parts_of(place.parameter)
        found = sources.setdefault(place.parameter, {})
        if slot in found:
            summary = f"{found[slot].name} and {name} are names for the same weights"
            where, advice = _where(tensor, place.parameter), "keep one of them in the checkpoint"
            problems.append(Problem(UnsupportedCheckpoint, summary, **where, advice=advice))
        found[slot] = tensor
    return sources, elsewhere, problems


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
