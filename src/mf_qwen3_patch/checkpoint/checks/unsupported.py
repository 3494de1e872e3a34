"""Sound checkpoints of a kind that can't be loaded rightly, each refused by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mf_qwen3_patch.checkpoint.checks.quantization import quantization_problem
from mf_qwen3_patch.checkpoint.config.problem import field_problem
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.directory import ADAPTER_CONFIG_NAME, CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.files.shards import ADAPTER_NAMES
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint, Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.registry import FAMILIES, is_known, is_parameter_name

# By a part of the model_type or architecture, without underscores.
_OTHER_MODELS: Mapping[str, str] = {
    "qwen3vl": "Qwen3-VL (vision and language)",
    "qwen3omni": "Qwen3-Omni",
    "qwen3next": "Qwen3-Next",
    "qwen2": "Qwen2",
}

_TASKS: Mapping[str, str] = {
    "Qwen3ForSequenceClassification": "a classifier, as converted rerankers and reward models are",
    "Qwen3ForTokenClassification": "a token classifier",
    "Qwen3ForQuestionAnswering": "a question-answering head",
    "Qwen3Model": "a bare model without a language head, as Qwen3-Embedding is",
}

# What PEFT calls what it adds, and what it makes of a layer that it has added to.
_LORA_NAME = re.compile(
    r"(.*\.)?(lora_(A|B|embedding_A|embedding_B|magnitude_vector)|base_layer|modules_to_save)\b.*", re.DOTALL
)
# The beginnings of HuggingFace's names, behind a wrapper's prefix.
_BEGINNINGS = (
    "model.layers.",
    *(name for family in FAMILIES.values() for name in family.outer_tensors if name != family.head),
)
# What wrappers put between the elements of names: torch.compile, activation checkpointing, FSDP, DDP, DeepSpeed, models
# of several modalities, trainers.
_WRAPPERS = frozenset(
    {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_forward_module", "module", "language_model"}
    | {"base_model", "_fpw_module", "pretrained_model", "wrapped_module", "_original_module"}
)
_SHOWN = 60

MERGE_ADAPTER = "merge it into its base model with PEFT's merge_and_unload(), save that, and load the result"
"""The advice for an adapter."""


def is_of_an_adapter(name: str) -> bool:
    """Return whether a tensor of this name belongs to a LoRA adapter, or to a layer that PEFT has wrapped for one."""
    return _LORA_NAME.fullmatch(name) is not None


def unsupported_kind(checkpoint: Checkpoint, model_type: str | None = None, *, tied: bool = False) -> Problem | None:
    """Recognize what ``checkpoint`` is if it is not a plain Qwen3, or not of ``model_type``.

    A model that is ``tied`` needs no output layer of its own.
    """
    problem = _adapter_alone(checkpoint) or _adapter(checkpoint)
    if problem is None and checkpoint.config_read:
        problem = other_model(checkpoint.config, checkpoint.family, model_type)
    # The first names the kind; later rules mostly describe the same cause by its tensors.
    rules = (quantization_problem, _mindformers_layout, _empty, _wrapped, _embedding, _qwen2, _other_family)
    problem = problem or next(filter(None, (rule(checkpoint) for rule in rules)), None)
    return problem if problem or tied else _classifier(checkpoint)


def _adapter_alone(checkpoint: Checkpoint) -> Problem | None:
    """Recognize an adapter whose base model is not named."""
    if not checkpoint.source.is_adapter:
        return None
    try:
        checkpoint.source.adapter_config()
    except CheckpointError as error:
        return error.problems[0]
    return Problem(
        UnsupportedCheckpoint,
        f"this is a LoRA adapter, and its {ADAPTER_CONFIG_NAME} names no base model",
        file=ADAPTER_CONFIG_NAME,
        field="base_model_name_or_path",
        expected="the directory or hub ID of its base model",
        found="none",
        advice="load the base model, and name this directory as its adapter: adapter=...",
    )


def _adapter(checkpoint: Checkpoint) -> Problem | None:
    lora = next(filter(is_of_an_adapter, checkpoint.unknown_names), None)
    files = sorted(checkpoint.listing & ADAPTER_NAMES)
    # Beside a model an adapter is merged, or named as ignored.
    if lora is None and (checkpoint.tensors or not files or checkpoint.source.adapter is not None):
        return None
    summary, advice = "this is a LoRA adapter, not a whole model", MERGE_ADAPTER
    return Problem(
        UnsupportedCheckpoint,
        summary,
        file=files[0] if lora is None else checkpoint.tensors[lora].file.name,
        tensor=lora,
        expected="the merged model's weights",
        found="adapter weights",
        advice=advice,
    )


def other_model(config: Mapping[str, Any], family: Family | None, wanted: str | None = None) -> Problem | None:
    """Return what is wrong if a raw config describes no Qwen3 that is known here, or not the one that is wanted."""
    model_type, architectures = config.get("model_type"), config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    wanted_family = FAMILIES[wanted] if wanted else family or QWEN3
    if names and wanted_family.architecture not in names:
        field, expected = "architectures", wanted_family.architecture
        found = ", ".join(str(name)[:_SHOWN] for name in names[:3])
    elif model_type not in (wanted_family.model_type, None) or (model_type is None and not names):
        field, expected = "model_type", wanted_family.model_type
        found = "none" if model_type is None else str(model_type)[:_SHOWN]
    else:
        return None
    if family is not None and family is not wanted_family and (not names or family.architecture in names):
        summary = f"describes {family.title}, but the model that it is loaded into is {wanted_family.title}"
        advice = "load it with AutoModel.from_pretrained, which builds the class that config.json names"
    else:
        loadable = " or ".join(known.architecture for known in FAMILIES.values())
        summary = f"describes {_described(model_type, names, found, family)}; only a {loadable} is supported"
        advice = "use a Qwen3 causal language model, e.g. Qwen/Qwen3-14B, or the tools made for this one"
    return field_problem(UnsupportedCheckpoint, CONFIG_NAME, field, summary, expected, found, advice)


def _described(model_type: object, names: list[Any], found: str, family: Family | None) -> str:
    if family is not None and any(known.architecture in names for known in FAMILIES.values()):
        return f"both {model_type} (model_type) and {found} (architectures)"
    if names and str(names[0]) in _TASKS:
        return _TASKS[str(names[0])]
    lowered = f"{model_type} {found}".lower().replace("_", "")
    return next((text for key, text in _OTHER_MODELS.items() if key in lowered), f"{found}, not Qwen3")


def _mindformers_layout(checkpoint: Checkpoint) -> Problem | None:
    names = [name for name in checkpoint.unknown_names if is_parameter_name(name)]
    if not names:
        return None
    fused = {name: one.target for name in names for family in FAMILIES.values() if (one := family.fused_of(name))}
    merged = ", ".join(sorted(set(fused.values())))
    state = f"already merged ({merged})" if fused else "split, with MindFormers' names"
    summary = (
        f"these are MindFormers weights, {state}: headers can't tell the training from the inference layout, and the "
        "wrong one generates wrong tokens"
    )
    expected, found = f"HuggingFace names, e.g. {QWEN3.embedding}", f"{len(names)} tensors with MindFormers' names"
    advice = "load it with MindFormers' own load_checkpoint, or start from the HuggingFace checkpoint"
    return _shown_by(checkpoint.tensors[next(iter(fused), names[0])], summary, expected, found, advice)


def _embedding(checkpoint: Checkpoint) -> Problem | None:
    tensors, heads = checkpoint.tensors, {family.head for family in FAMILIES.values()}
    bare = next((name for name in checkpoint.unknown_names if is_known(f"model.{name}")), None)
    if bare is None:
        return None
    known = tensors.keys() - set(checkpoint.unknown_names)
    if known - heads:
        return None
    marks = sorted({"modules.json", "config_sentence_transformers.json", "1_Pooling"} & checkpoint.listing)
    evidence = f" ({marks[0]} is there, too)" if marks else ""
    summary = "the tensors lack the prefix 'model.'"
    advice = "load it with transformers' AutoModelForCausalLM, and save it with save_pretrained()"
    if not known:
        summary += f", as in Qwen3-Embedding{evidence}, and none is an output layer"
        advice = f"use sentence-transformers for embeddings, or a causal Qwen3 for generation; or {advice}"
    return _shown_by(tensors[bare], summary, f"model.{bare}", bare, advice)


def _classifier(checkpoint: Checkpoint) -> Problem | None:
    info, heads = checkpoint.tensors.get("score.weight"), {family.head for family in FAMILIES.values()}
    if info is None or heads & (checkpoint.tensors.keys() | checkpoint.lost) or checkpoint.lost_unknown:
        return None
    summary = "the weights have a classifier head instead of a language head, as rerankers and reward models have"
    expected, found = f"{QWEN3.head}, or tied embeddings", f"{info.name} {list(info.shape)}"
    return _shown_by(info, summary, expected, found, "use a causal Qwen3 for generation")


def _qwen2(checkpoint: Checkpoint) -> Problem | None:
    head_norms = {role for role, axes in QWEN3.layer_tensors.items() if axes == ("head_dim",)}
    roles = {checkpoint.names[name].role: info for name, info in checkpoint.tensors.items()}
    biased = next((info for role, info in roles.items() if role in QWEN3.biases), None)
    if biased is None or not head_norms.isdisjoint(roles):
        return None
    summary = "the tensors are those of Qwen2 (biases on q, k and v, no q_norm), whatever config.json says"
    advice = "put the config.json back that belongs to these weights, and use MindFormers' Qwen2"
    return _shown_by(biased, summary, "qwen3", "qwen2", advice, "model_type")


def _empty(checkpoint: Checkpoint) -> Problem | None:
    """Recognize what DeepSpeed leaves if parameters are saved that are spread over ranks."""
    names = checkpoint.names
    empty = [info for name, info in checkpoint.tensors.items() if 0 in info.shape and is_known(names[name])]
    if not empty:
        return None
    known = len(checkpoint.tensors) - len(checkpoint.unknown_names)
    count = "1 tensor is" if len(empty) == 1 else f"{len(empty)} of {known} tensors are"
    summary = f"{count} empty, as DeepSpeed's ZeRO-3 leaves them where weights are saved without being gathered"
    advice = (
        "run the zero_to_fp32.py that lies in the training checkpoint, or save again with "
        "stage3_gather_16bit_weights_on_model_save: true in DeepSpeed's config"
    )
    return replace(
        _shown_by(empty[0], summary, "weights", f"shape {list(empty[0].shape)}", advice), kind=IncompleteCheckpoint
    )


def _wrapped(checkpoint: Checkpoint) -> Problem | None:
    """Recognize names that a wrapper has made longer, at their beginning or within, for all tensors or some."""
    wrapped = {name: found for name in checkpoint.unknown_names if (found := _unwrapped(name))}
    wrapped = {name: found for name, found in wrapped.items() if found[1] not in checkpoint.tensors}
    if not wrapped:
        return None
    name, (wrapper, plain) = next(iter(wrapped.items()))
    whose = "all tensor names" if len(wrapped) == len(checkpoint.tensors) else f"{len(wrapped)} tensor names"
    part = "the prefix" if name.startswith(wrapper) else "the part"
    summary = f"{whose} carry {part} {wrapper[:_SHOWN]!r}, as a wrapper writes them"
    return _shown_by(checkpoint.tensors[name], summary, plain, name, "save the unwrapped model with save_pretrained()")


def _unwrapped(name: str) -> tuple[str, str] | None:
    """Return what a wrapper has put into a name, and the name without it; None if that is no name of Qwen3's."""
    elements = name.split(".")
    added = [element for element in elements if element in _WRAPPERS]
    plain = ".".join(element for element in elements if element not in _WRAPPERS)
    if added and is_known(plain):
        return ".".join(added) + ".", plain
    for beginning in _BEGINNINGS:
        prefix, found, rest = name.partition(beginning)
        if prefix and is_known(found + rest):
            return prefix, found + rest
    return None


def _other_family(checkpoint: Checkpoint) -> Problem | None:
    """Recognize dense weights beside the config of a mixture of experts, and the reverse."""
    family = checkpoint.family
    if family is None:
        return None
    (other,) = (known for known in FAMILIES.values() if known is not family)
    own = family.layer_tensors.keys() - other.layer_tensors.keys()
    foreign = other.layer_tensors.keys() - family.layer_tensors.keys()
    roles = {name: checkpoint.names[name].role for name in checkpoint.tensors}
    witness = next((name for name, role in roles.items() if role in foreign), None)
    if witness is None or not own.isdisjoint(roles.values()):
        return None
    has, wants = (f"{known.model_type} ({known.architecture})" for known in (family, other))
    return Problem(
        UnsupportedCheckpoint,
        f"{CONFIG_NAME} describes {family.title} ({family.architecture}), but the weights are those of {other.title}",
        file=CONFIG_NAME,
        tensor=witness,
        field="model_type",
        expected=wants,
        found=has,
        advice="put the config.json back that belongs to these weights",
    )


def _shown_by(
    info: TensorInfo, summary: str, expected: str, found: str, advice: str, field: str | None = None
) -> Problem:
    """Return the problem that a tensor shows."""
    details = {"expected": expected, "found": found, "advice": advice}
    return Problem(UnsupportedCheckpoint, summary, file=info.file.name, tensor=info.name, field=field, **details)
