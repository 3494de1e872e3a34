"""Config fields that the weights contradict: one problem per field, with both values."""

from __future__ import annotations

from collections.abc import Iterable

from mf_qwen3_patch.checkpoint.checks.inferred_dims import Evidence, Witness
from mf_qwen3_patch.checkpoint.config.overrides import KEYWORD_ARGUMENT, Overridden
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.tensors import Axis, ModelDims, parse_name

_PLAIN_AXES: tuple[Axis, ...] = (
    "hidden_size",
    "vocab_size",
    "intermediate_size",
    "head_dim",
    "num_experts",
    "moe_intermediate_size",
)
_HEAD_AXES: tuple[tuple[Axis, str], ...] = (
    ("query_size", "num_attention_heads"),
    ("key_value_size", "num_key_value_heads"),
)


def field_mismatches(
    overridden: Overridden,
    evidence: Evidence,
    tensors: Iterable[TensorInfo],
    *,
    complete: bool,
    sizes: bool = True,
    layers: bool = True,
) -> list[Problem]:
    """Compare the config's fields with the weights.

    Args:
        overridden: The config, and where each field came from.
        evidence: What the weights show.
        tensors: All tensors, to find a witness for the number of layers.
        complete: False if files are missing and nobody knows what they held.
        sizes: Compare the fields that are the sizes of tensors, too (but for the number of experts, always compared).
        layers: Compare the number of layers, too.
    """
    shape, invalid = overridden.config.dims, overridden.config.invalid
    problems: list[Problem] = []
    for axis in _PLAIN_AXES:
        witness = evidence.axes.get(axis)
        if witness is None or axis in invalid or not (sizes or axis == "num_experts"):
            continue
        says = getattr(shape, axis)
        if witness.value != says:
            problems.append(mismatch(overridden, axis, says, witness.value, witness.tensor, _dimension(witness)))
    problems += (_heads(overridden, evidence, shape) if sizes else []) or _groups(overridden, shape)
    problems += _chosen_experts(overridden, evidence, shape)
    if layers and (problem := _layers(overridden, evidence, tensors, complete)):
        problems.append(problem)
    return problems


def surplus_layers(overridden: Overridden, evidence: Evidence) -> str | None:
    """Return a warning if an override asks for fewer layers than the weights have, else None."""
    name = "num_hidden_layers"
    origin = overridden.origin(name)
    says: int = overridden.config.values[name]
    found = evidence.num_hidden_layers
    if origin.overrides is None or name in overridden.config.invalid or found <= says:
        return None
    return (
        f"{origin.source} asks for {says} of the {found} layers that the weights have: the others are not loaded, and "
        "what comes out is not what the whole model says"
    )


def mismatch(
    overridden: Overridden, name: str, says: object, found: object, tensor: TensorInfo, detail: str
) -> Problem:
    """Describe one contradicted field.

    Args:
        overridden: Tells who set the field.
        name: The field.
        says: Its value.
        found: What the weights show.
        tensor: The tensor that shows it.
        detail: How it shows it.
    """
    origin = overridden.origin(name)
    place = "the call" if origin.source == KEYWORD_ARGUMENT else origin.source
    if name in overridden.config.absent:
        summary = f"{origin.source} has no {name}, which defaults to {says}, but the weights say {found}"
        advice = f"add {name}: {found} to {place}"
    elif origin.overrides is not None and origin.overrides == found:
        summary = f"{origin.source} says {origin.key}: {says}, but the weights say {found}"
        advice = f"remove {origin.key} from {place}: config.json already has {name}: {found}"
    else:
        summary = f"{origin.source} says {origin.key}: {says}, but the weights say {found}"
        advice = f"set {origin.key}: {found} in {place}, or use the weights that belong to it"
    return Problem(
        ConfigMismatch,
        f"{summary} ({detail})",
        file=tensor.file.name,
        tensor=tensor.name,
        field=name,
        expected=f"{found} (weights)",
        found=f"{says} ({origin.source})",
        advice=advice,
    )


def _dimension(witness: Witness) -> str:
    return f"shape {list(witness.tensor.shape)}, axis {witness.axis}"


def _heads(overridden: Overridden, evidence: Evidence, shape: ModelDims) -> list[Problem]:
    problems: list[Problem] = []
    head_dim = evidence.sizes(shape)["head_dim"]
    for axis, name in _HEAD_AXES:
        witness = evidence.axes.get(axis)
        if witness is None or name in overridden.config.invalid:
            continue
        says = getattr(shape, name)
        if says * head_dim == witness.value:
            continue
        heads, rest = divmod(witness.value, head_dim)
        found: object = f"{witness.value}/{head_dim}" if rest else heads
        detail = f"{_dimension(witness)}: {witness.value} = {name} x head_dim {head_dim}"
        problems.append(mismatch(overridden, name, says, found, witness.tensor, detail))
    return problems


def _groups(overridden: Overridden, shape: ModelDims) -> list[Problem]:
    if {"num_attention_heads", "num_key_value_heads"} & overridden.config.invalid:
        return []
    if shape.num_attention_heads % shape.num_key_value_heads == 0:
        return []
    return [
        Problem(
            ConfigMismatch,
            f"num_attention_heads {shape.num_attention_heads} is not a multiple of num_key_value_heads "
            f"{shape.num_key_value_heads}",
            file=overridden.origin("num_key_value_heads").source,
            field="num_key_value_heads",
            expected=f"a divisor of {shape.num_attention_heads}",
            found=shape.num_key_value_heads,
            advice="use the config.json that belongs to the weights",
        )
    ]


def _chosen_experts(overridden: Overridden, evidence: Evidence, shape: ModelDims) -> list[Problem]:
    name = "num_experts_per_tok"
    chosen = overridden.config.values.get(name)
    experts = evidence.sizes(shape)["num_experts"]
    if chosen is None or name in overridden.config.invalid:
        return []
    origin = overridden.origin(name)
    if chosen == 1 and overridden.config.values.get("norm_topk_prob"):
        return [
            Problem(
                UnsupportedCheckpoint,
                f"{origin.source} says {origin.key}: 1 with norm_topk_prob: true: the one expert's weight "
                "is 1 then, but MindFormers does not normalize it, which changes the output",
                file=origin.source,
                field="norm_topk_prob",
                expected="norm_topk_prob: false, or num_experts_per_tok of 2 or more",
                found="norm_topk_prob: true with num_experts_per_tok: 1",
                advice="run this one with HuggingFace transformers",
            )
        ]
    if chosen <= experts:
        return []
    says = f"says {origin.key}: {chosen}"
    if name in overridden.config.absent:
        says = f"has no {name}, which defaults to {chosen}"
    return [
        Problem(
            ConfigMismatch,
            f"{origin.source} {says}, but there are only {experts} experts to choose from",
            file=origin.source,
            field=name,
            expected=f"at most {experts} (num_experts)",
            found=chosen,
            advice=f"set {origin.key} to what the model was trained with, at most {experts}",
        )
    ]


def _layers(
    overridden: Overridden, evidence: Evidence, tensors: Iterable[TensorInfo], complete: bool
) -> Problem | None:
    name = "num_hidden_layers"
    says: int = overridden.config.values[name]
    found = evidence.num_hidden_layers
    # Missing files of unknown content may well hold the layers that seem to be too few.
    if found in (0, says) or name in overridden.config.invalid or (found < says and not complete):
        return None
    numbered = [(layer, info) for info in tensors if (layer := parse_name(info.name).layer) is not None]
    if found > says:
        beyond = [(layer, info) for layer, info in numbered if layer >= says] or numbered
        if not beyond:
            return None
        witness = min(beyond, key=lambda pair: pair[0])[1]
        count = len({layer for layer, _ in beyond})
        plural = "layers beyond it have" if count != 1 else "layer beyond it has"
        detail = f"{count} {plural} tensors; dropping that would change the output"
    else:
        if not numbered:
            return None
        witness = max(numbered, key=lambda pair: pair[0])[1]
        detail = f"the last layer with tensors is {found - 1}"
    return mismatch(overridden, name, says, found, witness, detail)
