"""From a HuggingFace Qwen3 directory to a loaded, proven model: the one road that every entry takes.

``AutoModel.from_pretrained`` enters at the top; ``load_weights``, which gets a model that is already
built, enters further down.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mindformers.parallel_core.inference.parallel_state import get_tensor_model_parallel_rank

from mf_qwen3_patch.checkpoint.config import normalise
from mf_qwen3_patch.checkpoint.directory import read_config
from mf_qwen3_patch.checkpoint.fields import SCHEMAS
from mf_qwen3_patch.checkpoint.preflight import Preflight, preflight
from mf_qwen3_patch.errors import CheckpointWarning, error_for
from mf_qwen3_patch.loading.build import build_config, build_model, network_parameters
from mf_qwen3_patch.loading.context import ensure_inference_context, on_cpu, tensor_parallel_size
from mf_qwen3_patch.loading.dtypes import choose_dtypes
from mf_qwen3_patch.loading.families import FAMILIES, QWEN3, Family
from mf_qwen3_patch.loading.loader import load
from mf_qwen3_patch.loading.log import say
from mf_qwen3_patch.loading.plan import PlanNotPossible, plan
from mf_qwen3_patch.loading.proof import prove
from mf_qwen3_patch.loading.ranks import is_first_rank
from mf_qwen3_patch.loading.report import LoadReport
from mf_qwen3_patch.loading.stock import load_with_stock
from mf_qwen3_patch.settings import Settings

__all__ = ["load_config", "load_into", "load_pretrained"]

# Stock sizes its key/value bookkeeping by seq_length; this is its default.
_DEFAULT_SEQ_LENGTH = 4096


def load_config(directory: str | os.PathLike[str], **overrides: Any) -> Any:
    """Make MindFormers' config object from config.json, whichever transformers release wrote it.

    Args:
        directory: A HuggingFace Qwen3 directory.
        overrides: Config fields that replace what config.json says.

    Raises:
        CheckpointError: config.json is missing, damaged, or says what Qwen3 cannot be.
    """
    config = normalise(read_config(directory))
    if config.problems:
        raise error_for(config.problems, str(directory))
    return build_config({**config.values, **overrides}, FAMILIES[config.schema.model_type])


def load_pretrained(
    directory: str | os.PathLike[str],
    *,
    torch_dtype: Any = None,
    dtype: Any = None,
    output_loading_info: bool = False,
    family: Family | None = None,
    **overrides: Any,
) -> Any:
    """Build the inference model that a HuggingFace Qwen3 directory describes, and load it.

    Args:
        directory: With config.json and ``*.safetensors``.
        torch_dtype: Of the parameters: "auto" (the default: the checkpoint's), a name, or a dtype.
        dtype: The same, by transformers' newer name.
        output_loading_info: Also return transformers' dict of missing, unexpected and mismatched keys.
        family: The model family; by default the one that config.json names.
        overrides: Config fields (``seq_length``, ``compute_dtype``, ...) that replace what config.json says.

    Returns:
        The loaded inference network, ready for ``generate``; its ``mf_qwen3_report`` says what was done. With
        ``output_loading_info``, a pair of it and the dict.

    Raises:
        CheckpointError: The checkpoint cannot be loaded rightly; nothing was built.
        LoadNotProven: The loaded model does not hold what the checkpoint says; it is not returned.
    """
    started = time.perf_counter()
    requested = torch_dtype if dtype is None else dtype
    found = _checked(directory, overrides, "keyword argument", family)
    family = FAMILIES[found.model_type]
    ensure_inference_context()
    choice = choose_dtypes(found.memory.dtype, requested, overrides, cpu=on_cpu())
    if choice.note:
        say(choice.note)
    values = {"seq_length": min(_DEFAULT_SEQ_LENGTH, found.config["max_position_embeddings"])}
    values |= found.config | choice.values
    model = build_model(build_config(values, family), family)
    model.set_train(False)
    report = _load(model, found, family, started)
    say("%s", report.summary)
    if output_loading_info:
        return model, report.as_loading_info()
    return model


def load_into(model: Any, directory: str | os.PathLike[str], *, family: Family = QWEN3) -> LoadReport:
    """Load a HuggingFace Qwen3 directory into a model that is already built.

    Args:
        model: The inference network of that family; its config must agree with the weights.
        directory: With config.json and ``*.safetensors``.
        family: The model family.

    Returns:
        What was done; also ``model.mf_qwen3_report``.

    Raises:
        CheckpointError: The checkpoint cannot be loaded rightly into this model, which is unchanged.
        LoadNotProven: The model does not hold what the checkpoint says.
    """
    started = time.perf_counter()
    schema = SCHEMAS[family.model_type]
    built_with = {name: getattr(model.config, name, None) for name in (*schema.shape_fields, *schema.unverifiable)}
    # None would count as not said, but then the model was built for plain embeddings.
    built_with["rope_scaling"] = built_with["rope_scaling"] or {"rope_type": "default"}
    found = _checked(
        directory,
        built_with,
        "the model's config",
        family,
        absent_config={"model_type": family.model_type, **built_with},
    )
    report = _load(model, found, family, started)
    say("%s", report)
    return report


def _checked(
    directory: str | os.PathLike[str],
    overrides: Mapping[str, Any],
    source: str,
    family: Family | None,
    absent_config: Mapping[str, Any] | None = None,
) -> Preflight:
    found = preflight(
        directory,
        overrides=overrides,
        overrides_source=source,
        tensor_parallel=tensor_parallel_size(),
        absent_config=absent_config,
        model_type=None if family is None else family.model_type,
    )
    found.raise_for_problems()
    if is_first_rank():
        for message in found.warnings:
            warnings.warn(message, CheckpointWarning, stacklevel=4)
    return found


def _load(model: Any, found: Preflight, family: Family, started: float) -> LoadReport:
    checkpoint = found.checkpoint
    common: dict[str, Any] = {
        "directory": str(checkpoint.directory),
        "model_class": type(model).__name__,
        "files": tuple(file.name for file in checkpoint.files),
        "tensors": len(checkpoint.tensors),
        "parameters": len(network_parameters(model)),
        "rank": get_tensor_model_parallel_rank(),
        "tensor_parallel": tensor_parallel_size(),
    }
    try:
        loading_plan = plan(model, checkpoint.tensors, family)
    except PlanNotPossible as reason:
        say("loading with MindFormers' own loader: %s", reason)
        seconds = load_with_stock(model, checkpoint.files)
        report = LoadReport(
            **common,
            seconds=time.perf_counter() - started,
            load_seconds=seconds,
            bytes_read=sum(tensor.nbytes for tensor in checkpoint.tensors.values()),
            loader=f"MindFormers' own loader, unproven: {reason}",
            warnings=found.warnings,
        )
    else:
        stats = load(model, loading_plan)
        proof = prove(model, loading_plan, stats, strict=Settings.from_environment().strict)
        merged = [parameter.kind for parameter in loading_plan.parameters if len(parameter.copies) > 1]
        report = LoadReport(
            **common,
            seconds=time.perf_counter() - started,
            load_seconds=stats.seconds,
            bytes_read=stats.bytes_read,
            threads=stats.threads,
            fused=dict(Counter(merged)),
            casts=stats.casts,
            ignored={name: _why_ignored(name, found) for name in loading_plan.unused},
            warnings=(*found.warnings, *stats.warnings, *proof.warnings),
            proof=proof,
        )
    model.mf_qwen3_report = report
    return report


def _why_ignored(name: str, found: Preflight) -> str:
    if name == "lm_head.weight" and found.shape.tie_word_embeddings:
        return "config.json ties the output layer to the embedding (tie_word_embeddings)"
    return "Qwen3 has no such parameter"
