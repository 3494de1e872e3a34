"""A HuggingFace weight dict becomes a MindFormers one, through MindFormers' own training conversion.

``TrainingQwen3ForCausalLM.convert_weight_dict`` knows how to rename and merge, but is an instance
method of a network that cannot be built from a config.json alone. All it asks of its instance is a
name map, a few layout flags and the concatenation methods of a mixin, so it is called here on an object that has
just those. The flags are fixed to what the inference network reads, Q|K|V and gate|up each
contiguous: the training default interleaves them, and an inference model takes that without
complaint and talks nonsense.

The experts of a mixture come out of the training conversion as the rows of one matrix; the inference network has
them as a stack of matrices, which is the same numbers in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
from mindformers.parallel_core.utils.model_mixin import TrainModelMixin
from mindspore import Parameter
from safetensors import safe_open

from mf_qwen3_patch.checkpoint.checks.unsupported import MERGE_ADAPTER, is_of_an_adapter, quantization_of
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import Family, FusedParameter
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.loading.runtime.parameters import to_numpy, to_parameter
from mf_qwen3_patch.loading.transfer.cast import is_finite, not_finite
from mf_qwen3_patch.loading.transfer.name_mapping import convert_name

_COMPLETE = "pass the weights of all shards together, or complete the download"
_INFERENCE_LAYOUT = {"use_contiguous_weight_layout_attention": True, "use_interleaved_weight_layout_mlp": False}


@dataclass(frozen=True)
class _Experts:
    """The experts in a weight dict; all zero if it has none.

    The router says how many there are or, without one (``from_router``), the names imply it. ``names`` are those of
    the experts' weights, by MindFormers' names of their parts; ``missing`` are the ones that layers with any lack.
    """

    layers: int = 0
    experts: int = 0
    hidden_size: int = 0
    ffn_size: int = 0
    from_router: bool = False
    names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class _ConversionHost(TrainModelMixin):  # type: ignore[misc]  # it has no type information
    """Stand-in for the ``self`` of the training conversion: names, the layout, the concat methods."""

    def __init__(self, model_class: Any, experts: _Experts | None = None) -> None:
        self._model_class = model_class
        found = experts or _Experts()
        self.transformer_config = SimpleNamespace(
            **_INFERENCE_LAYOUT,
            num_layers=found.layers,
            num_moe_experts=found.experts,
            hidden_size=found.hidden_size,
            moe_ffn_hidden_size=found.ffn_size,
        )

    def convert_name(self, weight_name: str) -> str:
        return convert_name(self._model_class, weight_name)

    def get_gpt_transformer_config(self) -> SimpleNamespace:
        return self.transformer_config


def convert_weight_dict(
    model_class: Any,
    source: Mapping[str, Any],
    *,
    model_config: Any = None,
    qkv_dict: MutableMapping[str, Any] | None = None,
    condition: Any = None,
    family: Family = QWEN3,
) -> dict[str, Parameter]:
    """Convert HuggingFace weights to the inference layout; a dict in MindFormers' names passes through.

    ``source`` has names to Parameters, Tensors or numpy arrays; float32, float16 or bfloat16, also mixed.
    ``model_config`` is accepted because stock passes it. Processes that each convert one file exchange parts through
    ``qkv_dict``, which ``condition`` guards.

    Returns MindFormers' names to Parameters with the source's dtype, named, ``requires_grad=False``.

    Raises:
        IncompleteCheckpoint: A layer has some parts of a fused parameter, but not all, and no
            ``qkv_dict`` to wait for them in.
        ConfigMismatch: The parts of one fused parameter do not fit together.
        UnsupportedCheckpoint: The weights are quantized: their scales would be dropped.
        InvalidValues: A weight holds NaN or infinity.
    """
    parts_are_shared = qkv_dict is not None and condition is not None
    groups = _fused_groups(model_class, source, family)
    # Bookkeeping entries such as "global_step" have no dot, which the training conversion takes for granted.
    weights = {name: to_numpy(value) for name, value in source.items() if "." in name}
    problems = _unsupported(weights)
    problems += [] if parts_are_shared else _missing_parts(model_class, groups)
    problems += _ill_fitting_parts(groups, source) + _not_finite(model_class, weights)
    experts = _find_experts({convert_name(model_class, name): value.shape for name, value in weights.items()}, family)
    problems += _missing_experts(experts, parts_are_shared)
    if problems:
        raise error_for(problems, "the weight dict")

    training_class = family.load(family.training_class)
    converted: Mapping[str, np.ndarray[Any, Any]] = training_class.convert_weight_dict(
        _ConversionHost(model_class, experts), weights, qkv_dict=qkv_dict, condition=condition
    )
    result = {name: to_parameter(_stacked(name, value, experts, family), name) for name, value in converted.items()}
    result.update((name, value) for name, value in source.items() if "." not in name)
    return result


def convert_map_dict(
    model_class: Any, name_map: Mapping[str, str], *, qkv_concat: bool = False, family: Family = QWEN3
) -> dict[str, str]:
    """Convert a ``weight_map`` (tensor name to file name) to MindFormers names.

    A fused parameter is in the file of its first part. ``qkv_concat`` is accepted because stock passes it; the
    inference layout is always merged.

    Raises:
        IncompleteCheckpoint: The map has some parts of a fused parameter, but not all.
    """
    if problems := _missing_parts(model_class, _fused_groups(model_class, name_map, family)):
        raise error_for(problems, "the weight map")
    training_class = family.load(family.training_class)
    converted: dict[str, str] = training_class.convert_map_dict(_ConversionHost(model_class), dict(name_map))
    return converted


def obtain_name_map(model_class: Any, load_checkpoint_files: Iterable[str]) -> dict[str, str]:
    """Map the MindFormers name of each tensor in some safetensors files to its name there.

    Parts of fused parameters are under the parts' names.
    """
    name_map: dict[str, str] = {}
    for path in load_checkpoint_files:
        with safe_open(path, framework="np") as file:
            name_map.update((convert_name(model_class, name), name) for name in file.keys())  # noqa: SIM118
    return name_map


_Groups: TypeAlias = dict[tuple[str, FusedParameter], dict[str, str]]


def _fused_groups(model_class: Any, names: Iterable[str], family: Family) -> _Groups:
    """Group source names: (parameter with ``{}`` for the part, how it is fused) → part → source name."""
    fused_by_part = {part: fused for fused in family.fused for part in fused.parts if len(fused.parts) > 1}
    groups: _Groups = {}
    for source_name in names:
        path = convert_name(model_class, source_name).split(".")
        if len(path) < 2 or path[-2] not in fused_by_part:
            continue
        part = path[-2]
        pattern = ".".join([*path[:-2], "{}", path[-1]])
        groups.setdefault((pattern, fused_by_part[part]), {})[part] = source_name
    return groups


def _missing_parts(model_class: Any, groups: _Groups) -> list[Problem]:
    problems = []
    for (pattern, fused), present in groups.items():
        missing = [part for part in fused.parts if part not in present]
        if not missing:
            continue
        names = ", ".join(_sibling(model_class, present, part, pattern) for part in missing)
        parameter = _parameter_of(pattern, fused)
        summary = (
            f"{', '.join(present.values())} is there, but {names} is missing, so that {parameter} cannot be merged"
        )
        problems.append(Problem(IncompleteCheckpoint, summary, tensor=names, parameter=parameter, advice=_COMPLETE))
    return problems


def _sibling(model_class: Any, present: Mapping[str, str], part: str, pattern: str) -> str:
    """Name the missing ``part`` in the dialect of the parts that are present."""
    huggingface_of = {
        mindformers.strip(".").split(".")[-1]: huggingface.strip(".").split(".")[-1]
        for huggingface, mindformers in model_class.weight_mapping
    }
    known, name = next(iter(present.items()))
    if known in huggingface_of and huggingface_of[known] in name:
        return name.replace(huggingface_of[known], huggingface_of[part])
    return pattern.format(part)


def _parameter_of(pattern: str, fused: FusedParameter) -> str:
    if fused.stacked:  # without the expert's number and "weight"
        return ".".join([*pattern.split(".")[:-3], fused.target])
    return pattern.format(fused.target)


def _find_experts(shapes: Mapping[str, tuple[int, ...]], family: Family) -> _Experts:
    """Find the experts in shapes by MindFormers' names, experts' parts not merged yet."""
    parts = {part: fused for fused in family.fused if fused.stacked for part in fused.parts}
    if not parts:
        return _Experts()
    name = re.compile(
        rf"(decoder\.layers\.([0-9]+)\.mlp\.)(?:(experts\.)([0-9]+)\.({'|'.join(parts)})|{family.router})\.weight"
    )
    matches = {found[0]: found for found in map(name.fullmatch, shapes) if found is not None}
    names = tuple(key for key, match in matches.items() if match[3] is not None)
    routers = [shapes[key][0] for key, match in matches.items() if match[3] is None]
    if not names:
        return _Experts(experts=max(routers, default=0), from_router=bool(routers))
    layers = {int(matches[key][2]): matches[key][1] + matches[key][3] for key in names}
    numbers = {int(matches[key][4]) for key in names}
    experts = max([*routers, *(number + 1 for number in numbers)])
    first = shapes[names[0]]
    # Down is [hidden, ffn], alone in its stack; gate and up are [ffn, hidden].
    hidden, ffn = first if len(parts[matches[names[0]][5]].parts) == 1 else first[::-1]
    wanted = [
        f"{prefix}{number}.{part}.weight"
        for _, prefix in sorted(layers.items())
        # Where most are missing, some of their names are enough.
        for number in range(min(experts, 2 * len(numbers) + 1))
        for part in parts
    ]
    missing = tuple(key for key in wanted if key not in shapes)
    return _Experts(max(layers) + 1, experts, hidden, ffn, bool(routers), names, missing)


def _missing_experts(experts: _Experts, parts_are_shared: bool) -> list[Problem]:
    if not experts.names or (parts_are_shared and experts.from_router):
        return []
    if parts_are_shared:
        summary = (
            "the file has experts of a layer, but no router to tell how many there are: files cannot be converted "
            "one by one"
        )
        advice = "load the HuggingFace directory itself (without qkv_concat), which needs no conversion"
        return [Problem(UnsupportedCheckpoint, summary, tensor=experts.names[0], advice=advice)]
    if not (missing := experts.missing):
        return []
    summary = f"{len(missing)} of the experts' weights are missing, so that their layers' cannot be stacked"
    values = {"expected": f"{experts.experts} experts in each layer", "found": f"no {', '.join(missing[:3])}"}
    return [Problem(IncompleteCheckpoint, summary, tensor=missing[0], **values, advice=_COMPLETE)]


def _stacked(name: str, value: np.ndarray[Any, Any], experts: _Experts, family: Family) -> np.ndarray[Any, Any]:
    """Give the matrices of all experts, which come one below the other, an axis for the expert."""
    if not family.stacks(name) or value.ndim != 2 or not experts.experts:
        return value
    return value.reshape(experts.experts, -1, value.shape[1])


def _ill_fitting_parts(groups: _Groups, source: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for (pattern, fused), present in groups.items():
        (first, first_shape), *others = ((name, tuple(source[name].shape)) for name in present.values())
        for name, shape in others:
            if shape[1:] == first_shape[1:]:
                continue
            summary = (
                f"{first} {list(first_shape)} and {name} {list(shape)} cannot be merged: they differ in more than the "
                "number of rows"
            )
            where = {"tensor": name, "parameter": _parameter_of(pattern, fused)}
            expected, found = list(first_shape[1:]), list(shape[1:])
            advice = "the tensors are not from one model; check the checkpoint"
            problems.append(Problem(ConfigMismatch, summary, **where, expected=expected, found=found, advice=advice))
    return problems


def _unsupported(weights: Iterable[str]) -> list[Problem]:
    """Refuse quantized weights and adapters, whose further tensors no parameter of the model takes."""
    scales, adapters = [list(filter(belongs, weights)) for belongs in (quantization_of, is_of_an_adapter)]
    problems = []
    if scales:
        what = f"{scales[0]} is one of {len(scales)} scales, without which they are garbage"
        advice = "convert the unquantized weights (bfloat16 or float16)"
        summary = f"the weights are quantized: {what}"
        problems.append(Problem(UnsupportedCheckpoint, summary, tensor=scales[0], advice=advice))
    if adapters:
        what = f"{adapters[0]} is one of {len(adapters)} such tensors, which no parameter of the model takes"
        summary = f"the weights belong to a LoRA adapter: {what}"
        problems.append(Problem(UnsupportedCheckpoint, summary, tensor=adapters[0], advice=MERGE_ADAPTER))
    return problems


def _not_finite(model_class: Any, weights: Mapping[str, np.ndarray[Any, Any]]) -> list[Problem]:
    return [
        not_finite(name, "NaN or infinity", parameter=convert_name(model_class, name))
        for name, values in weights.items()
        if not is_finite(values)
    ]
