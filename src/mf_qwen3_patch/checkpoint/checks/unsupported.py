"""Sound checkpoints of a kind that can't be loaded rightly, each refused by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.directory import ADAPTER_CONFIG_NAME, CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.files.shards import ADAPTER_NAMES
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import FAMILIES, is_known, is_parameter_name
from mf_qwen3_patch.families.tensors import parse_name

LOADABLE_DTYPES = frozenset({"F32", "F16", "BF16"})
"""Dtypes whose values mean what they say; others are quantized and need their scales."""

_ORIGINAL = "download the original bfloat16 checkpoint of the same model, e.g. Qwen/Qwen3-14B"

_OTHER_MODELS: tuple[tuple[str, str], ...] = (
    ("qwen3_vl", "Qwen3-VL (vision and language)"),
    ("qwen3vl", "Qwen3-VL (vision and language)"),
    ("qwen3_omni", "Qwen3-Omni"),
    ("qwen3omni", "Qwen3-Omni"),
    ("qwen3_next", "Qwen3-Next"),
    ("qwen3next", "Qwen3-Next"),
    ("qwen2", "Qwen2"),
)

_TASKS: Mapping[str, str] = {
    "Qwen3ForSequenceClassification": "a classifier, as converted rerankers and reward models are",
    "Qwen3ForTokenClassification": "a token classifier",
    "Qwen3ForQuestionAnswering": "a question-answering head",
    "Qwen3Model": "a bare model without a language head, as Qwen3-Embedding is",
}

_QUANTIZED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r".*\.weight_scale_inv"), "FP8 (block scales)"),
    (re.compile(r".*\.(qweight|qzeros|scales|g_idx)"), "GPTQ or AWQ"),
    (re.compile(r".*\.(absmax|quant_map|SCB|nested_absmax|quant_state\..*)"), "bitsandbytes"),
    (re.compile(r".*\.weight_(scale|packed|zero_point|shape)"), "compressed-tensors"),
)

# What PEFT calls what it adds, and what it makes of a layer that it has added to.
_LORA_NAME = re.compile(
    r"(.*\.)?(lora_(A|B|embedding_A|embedding_B|magnitude_vector)|base_layer|modules_to_save)\b.*", re.DOTALL
)
# The beginnings of HuggingFace's names, behind a wrapper's prefix.
_MARKS = ("model.layers.", *(name for family in FAMILIES.values() for name in family.outer_tensors if name[0] == "m"))
_SHOWN = 60

MERGE_ADAPTER = "merge it into its base model with PEFT's merge_and_unload(), save that, and load the result"
"""The advice for an adapter."""


def quantization_of(name: str) -> str | None:
    """Return which quantization a tensor of this name belongs to (its scales and so on), None if to none."""
    return next((method for pattern, method in _QUANTIZED if pattern.fullmatch(name)), None)


def is_of_an_adapter(name: str) -> bool:
    """Return whether a tensor of this name belongs to a LoRA adapter, or to a layer that PEFT has wrapped for one."""
    return _LORA_NAME.fullmatch(name) is not None


def unsupported_kinds(checkpoint: Checkpoint, model_type: str | None = None) -> list[Problem]:
    """Recognize what ``checkpoint`` is if it is not a plain Qwen3, or not of ``model_type``; at most one problem."""
    config, tensors = checkpoint.config, checkpoint.tensors
    rules: tuple[Callable[[], Problem | None], ...] = (
        lambda: _adapter(checkpoint),
        lambda: other_model(config, checkpoint.family, model_type) if checkpoint.config_read else None,
        lambda: _quantization(config, tensors),
        lambda: _mindformers_layout(tensors),
        lambda: _embedding(checkpoint),
        lambda: _classifier(tensors),
        lambda: _qwen2_tensors(tensors),
        lambda: _wrapped(tensors),
        lambda: _of_the_other_kind(checkpoint.family, tensors) if checkpoint.config_read else None,
    )
    problems = [problem for rule in rules if (problem := rule()) is not None]
    # The first names the kind; later rules mostly describe the same cause by its tensors.
    return problems[:1]


def _adapter(checkpoint: Checkpoint) -> Problem | None:
    lora = next(filter(is_of_an_adapter, checkpoint.tensors), None)
    files = sorted(checkpoint.listing & {ADAPTER_CONFIG_NAME, *ADAPTER_NAMES})
    if lora is None and not files:
        return None
    # HuggingFace would add an adapter that lies beside a model to it: to load the model alone is no less wrong.
    beside = lora is None and bool(checkpoint.tensors)
    advice = MERGE_ADAPTER
    if beside:
        advice += f"; if the model is meant without its adapter, move {' and '.join(files)} elsewhere"
    return _unsupported(
        "a LoRA adapter lies beside the model" if beside else "this is a LoRA adapter, not a whole model",
        file=files[0] if lora is None else checkpoint.tensors[lora].file.name,
        tensor=lora,
        expected="the merged model's weights",
        found="adapter weights",
        advice=advice,
    )


def other_model(config: Mapping[str, Any], schema: Family | None, wanted: str | None = None) -> Problem | None:
    """Return what is wrong if a raw config describes no Qwen3 that is known here, or not the one that is wanted."""
    model_type, architectures = config.get("model_type"), config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    expected = FAMILIES[wanted] if wanted else schema or FAMILIES["qwen3"]
    if names and expected.architecture not in names:
        found, field = ", ".join(str(name)[:_SHOWN] for name in names[:3]), "architectures"
    elif model_type not in (expected.model_type, None) or (model_type is None and not names):
        found, field = "none" if model_type is None else str(model_type)[:_SHOWN], "model_type"
    else:
        return None
    if schema is not None and schema is not expected and (not names or schema.architecture in names):
        return _unsupported(
            f"{CONFIG_NAME} describes {schema.title}, but the model that it is loaded into is {expected.title}",
            file=CONFIG_NAME,
            field=field,
            expected=expected.architecture if field == "architectures" else expected.model_type,
            found=found,
            advice="load it with AutoModel.from_pretrained, which builds the class that config.json names",
        )
    described = _TASKS.get(str(names[0])) if names else None
    if schema is not None and any(known.architecture in names for known in FAMILIES.values()):
        described = f"both {model_type} (model_type) and {found} (architectures)"
    if described is None:
        lowered = f"{model_type} {found}".lower()
        described = next((text for key, text in _OTHER_MODELS if key in lowered), f"{found}, not Qwen3")
    return _unsupported(
        f"{CONFIG_NAME} describes {described}; only a {_loadable()} is supported",
        file=CONFIG_NAME,
        field=field,
        expected=expected.architecture if field == "architectures" else expected.model_type,
        found=found,
        advice="use a Qwen3 causal language model, e.g. Qwen/Qwen3-14B, or the tools made for this one",
    )


def _loadable() -> str:
    return " or ".join(schema.architecture for schema in FAMILIES.values())


def _of_the_other_kind(schema: Family | None, tensors: Mapping[str, TensorInfo]) -> Problem | None:
    """Recognize dense weights beside the config of a mixture of experts, and the reverse."""
    if schema is None:
        return None
    (other,) = (known for known in FAMILIES.values() if known is not schema)
    own = schema.layer_tensors.keys() - other.layer_tensors.keys()
    foreign = other.layer_tensors.keys() - schema.layer_tensors.keys()
    names: dict[str, str] = {}
    for name in tensors:
        if (role := parse_name(name).role) in own | foreign:
            names.setdefault(role, name)
    witness = next((name for role, name in names.items() if role in foreign), None)
    if witness is None or names.keys() & own:
        return None
    return _unsupported(
        f"{CONFIG_NAME} describes {schema.title} ({schema.architecture}), but the weights are those of {other.title}",
        file=CONFIG_NAME,
        tensor=witness,
        field="model_type",
        expected=f"{other.model_type} ({other.architecture})",
        found=f"{schema.model_type} ({schema.architecture})",
        advice="put the config.json back that belongs to these weights",
    )


def _quantization(config: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> Problem | None:
    declared = config.get("quantization_config")
    method = None
    if declared is not None:
        value = declared.get("quant_method") if isinstance(declared, dict) else declared
        method = "unnamed" if value is None else str(value)[:_SHOWN]
    for name, info in tensors.items():
        found = quantization_of(name)
        if found is not None:
            return _quantized(method or found, info, name, _ORIGINAL)
    for name, info in tensors.items():
        if info.dtype not in LOADABLE_DTYPES and is_known(name):
            kind = "FP8" if info.dtype.startswith("F8") else f"of dtype {info.dtype}"
            return _quantized(method or kind, info, name, _ORIGINAL)
    if method is None:
        return None
    return _unsupported(
        f"{CONFIG_NAME} says that the weights are quantized ({method})",
        file=CONFIG_NAME,
        field="quantization_config",
        expected="no quantization_config",
        found=method,
        advice=_ORIGINAL,
    )


def _quantized(method: str, info: TensorInfo, name: str, advice: str) -> Problem:
    return _unsupported(
        f"the weights are quantized ({method}); without their scales they would load as garbage",
        file=info.file.name,
        tensor=name,
        field="quantization_config",
        expected="weights in BF16, F16 or F32",
        found=f"{info.dtype} {list(info.shape)}",
        advice=advice,
    )


def _mindformers_layout(tensors: Mapping[str, TensorInfo]) -> Problem | None:
    names = [name for name in tensors if is_parameter_name(name)]
    if not names:
        return None
    fused = {name: one.target for name in names for family in FAMILIES.values() if (one := family.fused_of(name))}
    merged = f"already merged ({', '.join(sorted(set(fused.values())))})"
    state = merged if fused else "split, with MindFormers' names"
    witness = next(iter(fused), names[0])
    return _unsupported(
        f"these are MindFormers weights, {state}: headers can't tell the training from the inference "
        "layout, and the wrong one generates wrong tokens",
        file=tensors[witness].file.name,
        tensor=witness,
        expected=f"HuggingFace names, e.g. {FAMILIES['qwen3'].embedding}",
        found=f"{len(names)} tensors with MindFormers' names",
        advice="load it with MindFormers' own load_checkpoint, or start from the HuggingFace checkpoint",
    )


def _embedding(checkpoint: Checkpoint) -> Problem | None:
    tensors = checkpoint.tensors
    bare = [name for name in tensors if not is_known(name) and is_known(f"model.{name}")]
    heads = {family.head for family in FAMILIES.values()}
    if not bare or any(is_known(name) for name in tensors if name not in heads):
        return None
    marks = sorted({"modules.json", "config_sentence_transformers.json", "1_Pooling"} & checkpoint.listing)
    evidence = f" ({marks[0]} is there, too)" if marks else ""
    return _unsupported(
        f"the tensors lack the prefix 'model.', as in Qwen3-Embedding{evidence}: there is no language head",
        file=tensors[bare[0]].file.name,
        tensor=bare[0],
        expected=f"model.{bare[0]}",
        found=bare[0],
        advice="use sentence-transformers for embeddings, or a causal Qwen3 for generation",
    )


def _classifier(tensors: Mapping[str, TensorInfo]) -> Problem | None:
    info = tensors.get("score.weight")
    if info is None:
        return None
    return _unsupported(
        "the weights have a classifier head instead of a language head, as rerankers and reward models have",
        file=info.file.name,
        tensor="score.weight",
        expected=f"{FAMILIES['qwen3'].head}, or tied embeddings",
        found=f"score.weight {list(info.shape)}",
        advice="use a causal Qwen3 for generation",
    )


def _qwen2_tensors(tensors: Mapping[str, TensorInfo]) -> Problem | None:
    family = FAMILIES["qwen3"]
    head_norms = {role for role, axes in family.layer_tensors.items() if axes == ("head_dim",)}
    roles = {parse_name(name).role: name for name in tensors}
    biased = next((name for role, name in roles.items() if role in family.biases), None)
    if biased is None or not head_norms.isdisjoint(roles):
        return None
    return _unsupported(
        "the tensors are those of Qwen2 (biases on q, k and v, no q_norm), whatever config.json says",
        file=tensors[biased].file.name,
        tensor=biased,
        field="model_type",
        expected="qwen3",
        found="qwen2",
        advice="put the config.json back that belongs to these weights, and use MindFormers' Qwen2",
    )


def _wrapped(tensors: Mapping[str, TensorInfo]) -> Problem | None:
    if not tensors or any(map(is_known, tensors)):
        return None
    for name, info in tensors.items():
        for mark in _MARKS:
            prefix, found, rest = name.partition(mark)
            if found and prefix and is_known(found + rest):
                return _unsupported(
                    f"all tensor names carry the prefix {prefix[:_SHOWN]!r}, as a wrapper writes them",
                    file=info.file.name,
                    tensor=name,
                    expected=found + rest,
                    found=name,
                    advice="save the unwrapped model with save_pretrained()",
                )
    return None


def _unsupported(summary: str, **details: Any) -> Problem:
    return Problem(UnsupportedCheckpoint, summary, **details)
