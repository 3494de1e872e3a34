"""A HuggingFace weight dict becomes a MindFormers one, through MindFormers' own training conversion.

``TrainingQwen3ForCausalLM.convert_weight_dict`` knows how to rename and merge, but is an instance method of a network
that cannot be built from a config.json alone. So it is called on an object that has just what it asks for: names, a few
layout flags and the concatenation methods of a mixin. The flags are fixed to what the inference network reads, Q|K|V
and gate|up each contiguous: the training default interleaves them, which an inference model takes without complaint,
and talks nonsense. The experts of a mixture come out as the rows of one matrix, which the inference network has as a
stack of matrices: the same numbers in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from mindformers.parallel_core.utils.model_mixin import TrainModelMixin
from mindspore import Parameter, Tensor
from safetensors import safe_open

from mf_qwen3_patch.checkpoint.checks.quantization import quantization_of
from mf_qwen3_patch.checkpoint.checks.unsupported import MERGE_ADAPTER, is_of_an_adapter
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import Family, FusedParameter
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.loading.runtime.parameters import to_numpy, to_parameter
from mf_qwen3_patch.loading.transfer.cast import is_finite, not_finite
from mf_qwen3_patch.loading.transfer.name_mapping import convert_name
from mf_qwen3_patch.settings import wait_limit

if TYPE_CHECKING:
    from threading import Condition

    from mindformers.models.modeling_utils import PreTrainedModel

_COMPLETE = "pass the weights of all shards together, or complete the download"
_NO_EXPERTS = dict.fromkeys(("num_layers", "num_moe_experts", "hidden_size", "moe_ffn_hidden_size"), 0)
_INFERENCE_LAYOUT = {"use_contiguous_weight_layout_attention": True, "use_interleaved_weight_layout_mlp": False}


class _ConversionHost(TrainModelMixin):  # type: ignore[misc]  # it has no type information
    """Stand-in for the ``self`` of the training conversion: names, the layout, the concat methods."""

    def __init__(self, model_class: Any, sizes: Mapping[str, int] = _NO_EXPERTS) -> None:
        self.convert_name = partial(convert_name, model_class)
        self.transformer_config = SimpleNamespace(**_INFERENCE_LAYOUT, **sizes)

    def get_gpt_transformer_config(self) -> SimpleNamespace:
        return self.transformer_config


def convert_weight_dict(
    model_class: type[PreTrainedModel],
    source: Mapping[str, Tensor | np.ndarray[Any, Any]],
    *,
    model_config: object = None,
    qkv_dict: MutableMapping[str, Tensor] | None = None,
    condition: Condition | None = None,
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

    Examples:
        >>> weights = mindspore.load_checkpoint("model.safetensors", format="safetensors")
        >>> mindspore.load_param_into_net(model, mf_qwen3_patch.convert_weight_dict(type(model), weights))
    """
    parts_are_shared = qkv_dict is not None and condition is not None
    groups = _fused_groups(model_class, source, family)
    # Bookkeeping entries such as "global_step" have no dot, which the training conversion takes for granted.
    weights = {name: to_numpy(value) for name, value in source.items() if "." in name}
    names = {name: convert_name(model_class, name) for name in weights}
    shapes = {names[name]: value.shape for name, value in weights.items()}
    sizes, ill_experts = _experts(shapes, family, parts_are_shared)
    problems = _unsupported(weights)
    problems += [] if parts_are_shared else _missing_parts(model_class, groups)
    problems += _ill_fitting_parts(groups, source)
    broken = (name for name, value in weights.items() if not is_finite(value))
    problems += [not_finite(name, "NaN or infinity", parameter=names[name]) for name in broken]
    problems += ill_experts
    if problems:
        raise error_for(problems, "the weight dict")

    convert = family.load(family.training_class).convert_weight_dict
    limited = None if condition is None else _LimitedCondition(condition)
    converted = convert(_ConversionHost(model_class, sizes), weights, qkv_dict=qkv_dict, condition=limited)
    result = {}
    for name, value in converted.items():
        experts = sizes["num_moe_experts"]
        if experts and value.ndim == 2 and family.stacks(name):  # all experts' matrices, one below the other
            value = value.reshape(experts, -1, value.shape[1])
        result[name] = to_parameter(value, name)
    return result | {name: value for name, value in source.items() if "." not in name}


def convert_for_training(
    stock: Callable[..., Mapping[str, Any]],
    network: Any,
    source: Mapping[str, Tensor | np.ndarray[Any, Any]],
    *,
    model_config: object = None,
    qkv_dict: MutableMapping[str, Tensor] | None = None,
    condition: Condition | None = None,
    family: Family = QWEN3,
) -> dict[str, Any]:
    """Convert HuggingFace weights by ``stock``, the method of a training network, to the layout that it has.

    Arguments and errors are those of ``convert_weight_dict``; the Parameters train. A process that converts one of
    several files gets arrays, as MindFormers writes them, and waits for the parts in the others with a limit only.
    """
    if qkv_dict is not None and condition is not None:
        return dict(stock(network, source, qkv_dict=qkv_dict, condition=_LimitedCondition(condition)))
    model_class = type(network)
    groups = _fused_groups(model_class, source, family)
    weights = {name: to_numpy(value) for name, value in source.items() if "." in name}
    shapes = {convert_name(model_class, name): value.shape for name, value in weights.items()}
    problems = [*_unsupported(weights), *_missing_parts(model_class, groups), *_ill_fitting_parts(groups, source)]
    problems += _experts(shapes, family, parts_are_shared=False)[1]
    if problems:
        raise error_for(problems, "the weight dict")
    converted = stock(network, weights, model_config=model_config)
    result = {name: to_parameter(value, name, requires_grad=True) for name, value in converted.items()}
    return result | {name: value for name, value in source.items() if "." not in name}


class _LimitedCondition:
    """A condition that is not waited for without end, as stock would for a part that is in no file."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition

    def __getattr__(self, name: str) -> Any:
        return getattr(self._condition, name)

    def __enter__(self) -> bool:
        return self._condition.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._condition.__exit__(*error)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait as long as the setting says; IncompleteCheckpoint if nobody has what is waited for.

        Stock waits without end before MindFormers 2, and then 600 s, which is the setting's default.
        """
        limit = wait_limit()
        if self._condition.wait_for(predicate, limit):
            return True
        summary = f"a part of a merged parameter is in no file: it was waited for {limit:.0f} s"
        raise error_for([Problem(IncompleteCheckpoint, summary, advice=_COMPLETE)], "the weight dict")


def convert_map_dict(
    model_class: Any, name_map: Mapping[str, str], *, qkv_concat: bool = False, family: Family = QWEN3
) -> dict[str, str]:
    """Convert a ``weight_map`` (tensor name to file name) to MindFormers names.

    A fused parameter is in the file of its first part; if other parts are in no file it is an IncompleteCheckpoint.
    ``qkv_concat`` is accepted because stock passes it; the inference layout is always merged.
    """
    if problems := _missing_parts(model_class, _fused_groups(model_class, name_map, family)):
        raise error_for(problems, "the weight map")
    convert = family.load(family.training_class).convert_map_dict
    return dict(convert(_ConversionHost(model_class), dict(name_map)))


def obtain_name_map(model_class: Any, load_checkpoint_files: Iterable[str]) -> dict[str, str]:
    """Map the MindFormers name of each tensor, or part of one, in some safetensors files to its name there."""
    name_map: dict[str, str] = {}
    for path in load_checkpoint_files:
        with safe_open(path, framework="np") as file:
            name_map.update((convert_name(model_class, name), name) for name in file.keys())  # noqa: SIM118
    return name_map


_Groups: TypeAlias = dict[tuple[str, FusedParameter], dict[str, str]]


def _fused_groups(model_class: Any, names: Iterable[str], family: Family) -> _Groups:
    """Group source names: (MindFormers' name with ``{}`` for the part, how it is fused) → part → source name."""
    fused_by_part = {part: fused for fused in family.fused for part in fused.parts if len(fused.parts) > 1}
    groups: _Groups = {}
    for source_name in names:
        *path, part, last = ("", *convert_name(model_class, source_name).split("."))
        if part in fused_by_part:
            pattern = ".".join([*path[1:], "{}", last])
            groups.setdefault((pattern, fused_by_part[part]), {})[part] = source_name
    return groups


def _parameter_of(pattern: str, fused: FusedParameter) -> str:
    if fused.stacked:  # without the expert's number and "weight"
        return ".".join([*pattern.split(".")[:-3], fused.target])
    return pattern.format(fused.target)


def _missing_parts(model_class: Any, groups: _Groups) -> list[Problem]:
    problems = []
    for (pattern, fused), present in groups.items():
        missing = [pattern.format(part) for part in fused.parts if part not in present]
        if not missing:
            continue
        if pattern.format(next(iter(present))) not in present.values():  # they have HuggingFace's names
            for huggingface, mindformers in model_class.weight_mapping:
                missing = [name.replace(mindformers, huggingface) for name in missing]
        names, parameter = ", ".join(missing), _parameter_of(pattern, fused)
        there = ", ".join(present.values())
        summary = f"{there} is there, but {names} is missing, so that {parameter} cannot be merged"
        problems.append(Problem(IncompleteCheckpoint, summary, tensor=names, parameter=parameter, advice=_COMPLETE))
    return problems


def _ill_fitting_parts(groups: _Groups, source: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for (pattern, fused), present in groups.items():
        (first, wanted), *others = ((name, list(source[name].shape)) for name in present.values())
        for name, shape in others:
            if shape[1:] == wanted[1:]:
                continue
            both = f"{first} {wanted} and {name} {shape}"
            summary = f"{both} cannot be merged: they differ in more than the number of rows"
            where = {"tensor": name, "parameter": _parameter_of(pattern, fused)}
            advice, expected, found = "the tensors are not from one model; check the checkpoint", wanted[1:], shape[1:]
            problems.append(Problem(ConfigMismatch, summary, **where, expected=expected, found=found, advice=advice))
    return problems


def _experts(
    shapes: Mapping[str, tuple[int, ...]], family: Family, parts_are_shared: bool
) -> tuple[dict[str, int], list[Problem]]:
    """Return the sizes of the experts and what is wrong with them, by MindFormers' names, parts not merged yet.

    A router says how many experts there are; without one, the names imply it.
    """
    parts = {part: fused for fused in family.fused if fused.stacked for part in fused.parts}
    if not parts:
        return _NO_EXPERTS, []
    mlp = r"decoder\.layers\.([0-9]+)\.mlp"
    routers = [shape[0] for name, shape in shapes.items() if re.fullmatch(rf"{mlp}\.{family.router}\.weight", name)]
    weight = re.compile(rf"{mlp}\.experts\.([0-9]+)\.({'|'.join(parts)})\.weight")
    found = [match for match in map(weight.fullmatch, shapes) if match is not None]
    if not found:
        return _NO_EXPERTS | {"num_moe_experts": max(routers, default=0)}, []
    layers, numbers = [sorted({int(match[group]) for match in found}) for group in (1, 2)]
    experts = max([*routers, numbers[-1] + 1])
    first, part = found[0][0], found[0][3]
    # Down is [hidden, ffn], alone in its stack; gate and up are [ffn, hidden].
    hidden, ffn = shapes[first] if len(parts[part].parts) == 1 else shapes[first][::-1]
    sizes = dict(zip(_NO_EXPERTS, (layers[-1] + 1, experts, hidden, ffn), strict=True))
    if parts_are_shared and not routers:
        what = "the file has experts of a layer, but no router to tell how many there are"
        summary = f"{what}: files cannot be converted one by one"
        advice = "load the HuggingFace directory itself (without qkv_concat), which needs no conversion"
        return sizes, [Problem(UnsupportedCheckpoint, summary, tensor=first, advice=advice)]
    wanted = [
        f"decoder.layers.{layer}.mlp.experts.{number}.{part}.weight"
        for layer in layers
        # Where most are missing, some of their names are enough.
        for number in range(min(experts, 2 * len(numbers) + 1))
        for part in parts
    ]
    missing = [name for name in wanted if name not in shapes]
    if parts_are_shared or not missing:
        return sizes, []
    summary = f"{len(missing)} of the experts' weights are missing, so that their layers' cannot be stacked"
    values = {"expected": f"{experts} experts in each layer", "found": f"no {', '.join(missing[:3])}"}
    return sizes, [Problem(IncompleteCheckpoint, summary, tensor=missing[0], **values, advice=_COMPLETE)]


def _unsupported(weights: Collection[str]) -> list[Problem]:
    """Refuse quantized weights and adapters, whose further tensors no parameter of the model takes."""
    problems = []
    if scales := list(filter(quantization_of, weights)):
        what = f"quantized: {scales[0]} is one of {len(scales)} scales, without which they are garbage"
        advice = "convert the unquantized weights (bfloat16 or float16)"
        problems.append(Problem(UnsupportedCheckpoint, f"the weights are {what}", tensor=scales[0], advice=advice))
    if adapters := list(filter(is_of_an_adapter, weights)):
        what = f"{adapters[0]} is one of {len(adapters)} such tensors, which no parameter of the model takes"
        summary = f"the weights belong to a LoRA adapter: {what}"
        problems.append(Problem(UnsupportedCheckpoint, summary, tensor=adapters[0], advice=MERGE_ADAPTER))
    return problems
