"""Config fields that the weights contradict: one problem per field, with both values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.checks.inferred_dims import Comparison
from mf_qwen3_patch.checkpoint.config.overrides import KEYWORD_ARGUMENT
from mf_qwen3_patch.checkpoint.config.problem import field_problem
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.published import published_name
from mf_qwen3_patch.families.tensors import Axis

# The field that says how long an axis is: itself, or a number of heads.
_FIELDS: Mapping[Axis, str] = {
    "hidden_size": "hidden_size",
    "vocab_size": "vocab_size",
    "intermediate_size": "intermediate_size",
    "head_dim": "head_dim",
    "num_experts": "num_experts",
    "moe_intermediate_size": "moe_intermediate_size",
    "query_size": "num_attention_heads",
    "key_value_size": "num_key_value_heads",
}
_HEADS = frozenset({"num_attention_heads", "num_key_value_heads"})
_LAYERS = "num_hidden_layers"
_FIELDS_OF_ANOTHER_MODEL = 2  # a single one may be a slip


def field_mismatches(compared: Comparison, *, sizes: bool, layers: bool) -> list[Problem]:
    """Compare the config's fields with the weights.

    Without ``sizes`` the fields that are the sizes of tensors are not compared (but for the number of experts), without
    ``layers`` not the number of layers.
    """
    axes: tuple[Axis, ...] = tuple(_FIELDS) if sizes else ("num_experts",)
    found = [_size(compared, axis) for axis in axes]
    if not any(problem and problem.field in _HEADS for problem in found):
        found.append(_groups(compared))
    found.append(_chosen_experts(compared))
    if layers:
        found.append(_layers(compared))
    return _with_names(compared, [problem for problem in found if problem])


def _with_names(compared: Comparison, problems: list[Problem]) -> list[Problem]:
    """Advise another config where this one is that of another published model, as several wrong fields show."""
    said, true = published_name(compared.config.dims), published_name(compared.dims)
    sources = {compared.overridden.origin(problem.field or "").source for problem in problems}
    if len(problems) < _FIELDS_OF_ANOTHER_MODEL or said in (None, true) or len(sources) > 1:
        return problems
    owner = f"those of {true}" if true else "not"
    advice = f"{sources.pop()} is the config of {said}, and the weights are {owner}: use the one that belongs to them"
    return [replace(problem, advice=advice) for problem in problems]


def surplus_layers(compared: Comparison) -> list[str]:
    """Warn of an override that asks for fewer layers than the weights have."""
    origin = compared.overridden.origin(_LAYERS)
    says, found = compared.config.values[_LAYERS], compared.num_hidden_layers
    if origin.overrides is None or _LAYERS in compared.config.invalid or found <= says:
        return []
    warning = (
        f"{origin.source} asks for {says} of the {found} layers that the weights have: the others are not loaded, and "
        "what comes out is not what the whole model says"
    )
    return [warning]


def _mismatch(compared: Comparison, name: str, found: object, tensor: TensorInfo, detail: str) -> Problem:
    """Describe a field for which ``tensor`` shows the value ``found``; ``detail`` says how."""
    origin, config = compared.overridden.origin(name), compared.config
    place = "the call" if origin.source == KEYWORD_ARGUMENT else origin.source
    if name in config.absent:
        advice = f"add {name}: {found} to {place}"
    elif origin.overrides is not None and origin.overrides == found:
        advice = f"remove {origin.key} from {place}: config.json already has {name}: {found}"
    else:
        advice = f"set {origin.key}: {found} in {place}, or use the weights that belong to it"
    return Problem(
        ConfigMismatch,
        f"{origin.source} {compared.overridden.statement(name)}, but the weights say {found} ({detail})",
        file=tensor.file.name,
        tensor=tensor.name,
        field=name,
        expected=f"{found} (weights)",
        found=f"{short_json(config.values[name])} ({origin.source})",
        advice=advice,
    )


def _size(compared: Comparison, axis: Axis) -> Problem | None:
    name, config, witness = _FIELDS[axis], compared.config, compared.axes.get(axis)
    unit = compared.sizes["head_dim"] if name in _HEADS else 1
    if witness is None or name in config.invalid or config.values[name] * unit == witness.value:
        return None
    found, rest = divmod(witness.value, unit)
    detail = f"shape {list(witness.tensor.shape)}, axis {witness.axis}"
    if name in _HEADS:
        detail += f": {witness.value} = {name} x head_dim {unit}"
    return _mismatch(compared, name, f"{witness.value}/{unit}" if rest else found, witness.tensor, detail)


def _groups(compared: Comparison) -> Problem | None:
    dims, name = compared.config.dims, "num_key_value_heads"
    heads, groups = dims.num_attention_heads, dims.num_key_value_heads
    if _HEADS & compared.config.invalid or heads % groups == 0:
        return None
    return Problem(
        ConfigMismatch,
        f"num_attention_heads {heads} is not a multiple of {name} {groups}",
        file=compared.overridden.origin(name).source,
        field=name,
        expected=f"a divisor of {heads}",
        found=groups,
        advice="use the config.json that belongs to the weights",
    )


def _chosen_experts(compared: Comparison) -> Problem | None:
    name, values, experts = "num_experts_per_tok", compared.config.values, compared.sizes["num_experts"]
    chosen, origin = values.get(name), compared.overridden.origin(name)
    if chosen is None or name in compared.config.invalid:
        return None
    if chosen == 1 and values.get("norm_topk_prob"):
        return field_problem(
            UnsupportedCheckpoint,
            origin.source,
            "norm_topk_prob",
            f"says {origin.key}: 1 with norm_topk_prob: true: the one expert's weight is 1 then, but MindFormers does "
            "not normalize it, which changes the output",
            expected="norm_topk_prob: false, or num_experts_per_tok of 2 or more",
            found="norm_topk_prob: true with num_experts_per_tok: 1",
            advice="run this one with HuggingFace transformers",
        )
    if chosen <= experts:
        return None
    summary = f"{compared.overridden.statement(name)}, but there are only {experts} experts to choose from"
    expected = f"at most {experts} (num_experts)"
    advice = f"set {origin.key} to what the model was trained with, at most {experts}"
    return field_problem(ConfigMismatch, origin.source, name, summary, expected, chosen, advice)


def _layers(compared: Comparison) -> Problem | None:
    says, found = compared.config.values[_LAYERS], compared.num_hidden_layers
    # Missing files of unknown content may well hold the layers that seem to be too few.
    unknown = found < says and compared.checkpoint.lost_unknown
    if found in (0, says) or _LAYERS in compared.config.invalid or unknown:
        return None
    checkpoint = compared.checkpoint
    layers = ((checkpoint.names[name].layer, info) for name, info in checkpoint.tensors.items())
    numbered = [(layer, info) for layer, info in layers if layer is not None]
    if not numbered:
        return None
    if found > says:
        beyond = [(layer, info) for layer, info in numbered if layer >= says] or numbered
        _, witness = min(beyond, key=lambda pair: pair[0])
        count = len({layer for layer, _ in beyond})
        plural = "layers beyond it have" if count != 1 else "layer beyond it has"
        detail = f"{count} {plural} tensors; dropping that would change the output"
    else:
        _, witness = max(numbered, key=lambda pair: pair[0])
        detail = f"the last layer with tensors is {found - 1}"
    return _mismatch(compared, _LAYERS, found, witness, detail)
