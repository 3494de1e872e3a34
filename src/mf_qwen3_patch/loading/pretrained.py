"""From a HuggingFace Qwen3 directory to a loaded, proven model: the one road that every entry takes.

``AutoModel.from_pretrained`` enters at the top; ``load_weights``, which gets a model that is already
built, enters further down.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mindformers.parallel_core.inference.parallel_state import get_tensor_model_parallel_rank

from mf_qwen3_patch.checkpoint.checks.preflight import Preflight, preflight
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.files.directory import read_config
from mf_qwen3_patch.checkpoint.files.resolve import Location
from mf_qwen3_patch.errors import CheckpointError
from mf_qwen3_patch.families.mindformers import FAMILIES, QWEN3, Family
from mf_qwen3_patch.families.tensors import LM_HEAD, axes_of, parse_name
from mf_qwen3_patch.loading.config_argument import GivenConfig, fields_of
from mf_qwen3_patch.loading.fallback import load_with_stock
from mf_qwen3_patch.loading.generation_config import set_generation_config
from mf_qwen3_patch.loading.keywords import config_overrides, warn_of_remote_code
from mf_qwen3_patch.loading.report import LoadReport
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context, on_cpu, tensor_parallel_size
from mf_qwen3_patch.loading.runtime.dtypes import choose_dtypes
from mf_qwen3_patch.loading.runtime.log import say, warn
from mf_qwen3_patch.loading.runtime.network import build_model, network_parameters
from mf_qwen3_patch.loading.transfer.loader import load
from mf_qwen3_patch.loading.transfer.plan import plan
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible
from mf_qwen3_patch.loading.transfer.verify import prove
from mf_qwen3_patch.settings import Settings


def load_pretrained(
    name: str | os.PathLike[str],
    *,
    config: Any = None,
    torch_dtype: Any = None,
    dtype: Any = None,
    output_loading_info: bool = False,
    ignore_mismatched_sizes: bool = False,
    generation_config: Any = None,
    trust_remote_code: bool | None = None,
    family: Family | None = None,
    **keywords: Any,
) -> Any:
    """Build the inference model that a HuggingFace Qwen3 directory describes, and load it.

    The keywords are those of transformers' ``from_pretrained``, with the same meaning.

    Args:
        name: A directory with config.json and ``*.safetensors``, or a hub's id such as ``Qwen/Qwen3-14B``, which is
            looked for in the caches of HuggingFace and ModelScope, and downloaded from HuggingFace if that is allowed.
        config: Used instead of config.json: MindFormers' or transformers' config object, or the path of a
            config.json or its directory.
        torch_dtype: Of the parameters: "auto" (the default: the checkpoint's), a name, or a dtype.
        dtype: The same, by transformers' newer name.
        output_loading_info: Also return transformers' dict of missing, unexpected and mismatched keys.
        ignore_mismatched_sizes: Load what fits where tensors have other sizes than the config; warns of the others,
            whose parameters start anew.
        generation_config: Used instead of generation_config.json: MindFormers' object.
        trust_remote_code: Never needed; warned of.
        family: The model family; by default the one that config.json names.
        keywords: ``subfolder``, ``variant``, ``revision``, ``cache_dir``, ``local_files_only``, ``force_download``
            and ``token`` say where the model is. The others are config fields (``num_hidden_layers``,
            ``seq_length``, ``compute_dtype``, ...) that replace what config.json says.

    Returns:
        The loaded inference network, ready for ``generate``; its ``mf_qwen3_report`` says what was done. With
        ``output_loading_info``, a pair of it and the dict.

    Raises:
        CheckpointError: The checkpoint cannot be loaded rightly; nothing was built.
        LoadNotProven: The loaded model does not hold what the checkpoint says; it is not returned.
        TypeError: There is no such keyword.
        ValueError: A keyword asks for what is not done here.
    """
    started = time.perf_counter()
    warn_of_remote_code(trust_remote_code)
    requested = torch_dtype if dtype is None else dtype
    location = Location.of(name, keywords)
    directory = location.find()
    given = _given(config, keywords, directory, family)
    found = _checked(
        directory,
        given.values,
        given.source,
        given.family or family,
        absent_config=given.absent_config,
        variant=location.variant,
        fewer_layers=True,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
    )
    family = FAMILIES[found.model_type]
    ensure_inference_context()
    choice = choose_dtypes(found.memory.dtype, requested, given.dtypes(requested, cpu=on_cpu()), cpu=on_cpu())
    if choice.note:
        say(choice.note)
    model = build_model(given.build(found.config, choice, family), family)
    model.set_train(False)
    report = _load(model, found, family, started)
    if generation_config is None:
        messages = set_generation_config(model, directory)
        warn(messages)
        report = replace(report, warnings=(*report.warnings, *messages))
    else:
        model.generation_config = generation_config
    model.mf_qwen3_report = report
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
    built_with = fields_of(model.config, family)
    found = _checked(
        directory,
        built_with,
        "the model's config",
        family,
        absent_config={"model_type": family.model_type, **built_with},
    )
    report = model.mf_qwen3_report = _load(model, found, family, started)
    say("%s", report)
    return report


def _checked(
    directory: str | os.PathLike[str],
    overrides: Mapping[str, Any],
    source: str,
    family: Family | None,
    **allowed: Any,
) -> Preflight:
    found = preflight(
        directory,
        overrides=overrides,
        overrides_source=source,
        tensor_parallel=tensor_parallel_size(),
        model_type=None if family is None else family.model_type,
        **allowed,
    )
    found.raise_for_problems()
    warn(found.warnings)
    return found


def _given(config: Any, keywords: Mapping[str, Any], directory: Path, family: Family | None) -> GivenConfig:
    """Return what the call says over config.json: ``config=``, or the config fields among the keywords."""
    given = GivenConfig({}) if config is None else GivenConfig.of(config)
    family = given.family or family
    if family is None:
        try:
            raw = read_config(directory)
        except CheckpointError:
            raw = {}  # the check that follows says what is wrong with it
        family = FAMILIES[normalize(raw).schema.model_type]
    overrides = config_overrides(keywords, family)
    if config is None:
        return GivenConfig(overrides)
    if overrides:
        raise TypeError(f"config= and {', '.join(overrides)} are both given: set the field in the config")
    return given


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
        loading_plan = plan(model, checkpoint.tensors, family, left_out={misfit.name for misfit in found.misfits})
    except PlanNotPossible as reason:
        if found.misfits:
            raise ValueError(f"ignore_mismatched_sizes=True can't be done here: {reason}") from reason
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
        stats = load(model, loading_plan, initializer_range=found.config["initializer_range"])
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
            mismatched={misfit.name: (misfit.found, misfit.wanted) for misfit in found.misfits},
            anew=tuple(entry.name for entry in loading_plan.anew),
            warnings=(*found.warnings, *stats.warnings, *proof.warnings),
            proof=proof,
        )
    return report


def _why_ignored(name: str, found: Preflight) -> str:
    if name == LM_HEAD and found.shape.tie_word_embeddings:
        return "config.json ties the output layer to the embedding (tie_word_embeddings)"
    layer = parse_name(name).layer
    if layer is not None and layer >= found.shape.num_hidden_layers:
        return f"the config has {found.shape.num_hidden_layers} layers"
    if any(misfit.name == name for misfit in found.misfits):
        return "it has another size than the config asks for"
    if found.misfits and axes_of(name, found.shape.layer_tensors) is not None:
        return "it is merged with a tensor that has another size than the config asks for"
    return "Qwen3 has no such parameter"
