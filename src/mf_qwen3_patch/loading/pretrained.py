"""From a directory to a loaded, verified model: every entry opens a checkpoint, plans its load and has it executed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from mf_qwen3_patch.checkpoint.checks.memory import forecast_device, forecast_memory, free_host_memory
from mf_qwen3_patch.checkpoint.checks.preflight import CheckOptions, Preflight, check, parameter_dtype
from mf_qwen3_patch.checkpoint.checks.rotary_tables import rotary_tables
from mf_qwen3_patch.checkpoint.checks.unsupported import other_model
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.config.overrides import apply_overrides
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.location.resolve import Location, with_adapter
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.tensors import parse_name
from mf_qwen3_patch.loading.config_argument import GivenConfig, fields_of
from mf_qwen3_patch.loading.converted_directory import has_fused_parameters, open_rank_directory, plan_converted
from mf_qwen3_patch.loading.execute import Details, discard_report, execute
from mf_qwen3_patch.loading.fallback import plan_with_fallback
from mf_qwen3_patch.loading.generation.generation_config import set_generation_config
from mf_qwen3_patch.loading.keywords import config_overrides, refuse_beside_config, requested_dtype, warn_of_remote_code
from mf_qwen3_patch.loading.report import LoadReport, save_where_wanted
from mf_qwen3_patch.loading.runtime.context import (
    device_kind,
    ensure_inference_context,
    join_other_ranks,
    memory_limit,
    parallelism,
)
from mf_qwen3_patch.loading.runtime.dtypes import DtypeChoice, choose_dtypes
from mf_qwen3_patch.loading.runtime.log import say, warn
from mf_qwen3_patch.loading.runtime.network import build_model, family_of
from mf_qwen3_patch.loading.runtime.ranks import Ranks
from mf_qwen3_patch.loading.runtime.room import refuse_without_room
from mf_qwen3_patch.loading.transfer.plan import Plan

if TYPE_CHECKING:
    import mindspore
    import torch
    import transformers
    from mindformers.generation import GenerationConfig
    from mindformers.models.modeling_utils import PreTrainedModel
    from mindformers.models.qwen3.configuration_qwen3 import Qwen3Config


@overload
def load_pretrained(
    name: str | os.PathLike[str] | Location, *, output_loading_info: Literal[False] = False, **keywords: Any
) -> PreTrainedModel: ...


@overload
def load_pretrained(
    name: str | os.PathLike[str] | Location, *, output_loading_info: Literal[True], **keywords: Any
) -> tuple[PreTrainedModel, dict[str, list[Any]]]: ...


def load_pretrained(
    name: str | os.PathLike[str] | Location,
    *,
    config: Qwen3Config | transformers.PretrainedConfig | str | os.PathLike[str] | None = None,
    torch_dtype: str | mindspore.Type | torch.dtype | None = None,
    dtype: str | mindspore.Type | torch.dtype | None = None,
    ms_dtype: str | mindspore.Type | torch.dtype | None = None,
    output_loading_info: bool = False,
    ignore_mismatched_sizes: bool = False,
    dequantize: bool | None = None,
    generation_config: GenerationConfig | None = None,
    trust_remote_code: bool | None = None,
    family: Family | None = None,
    **keywords: Any,
) -> PreTrainedModel | tuple[PreTrainedModel, dict[str, list[Any]]]:
    """Build the inference model that a HuggingFace Qwen3 directory describes, and load it.

    The keywords are those of transformers' ``from_pretrained``, with the same meaning.

    Args:
        name: A directory with config.json and ``*.safetensors``, or a hub ID such as ``Qwen/Qwen3-14B``, which is
            looked for in the caches of HuggingFace and ModelScope, and downloaded from HuggingFace if that is allowed.
            Of a directory with a LoRA adapter, the base model that its adapter_config.json names is loaded, merged.
        config: Used instead of config.json: MindFormers' or transformers' config object, or the path of a
            config.json or its directory.
        torch_dtype: Of the parameters: "auto" (the default: the checkpoint's), a name, or a dtype.
        dtype: The same, by transformers' newer name.
        ms_dtype: The same, by MindFormers' name.
        output_loading_info: Also return transformers' dict of missing, unexpected and mismatched keys.
        ignore_mismatched_sizes: Load what fits where tensors have other sizes than the config; warns of the others,
            whose parameters are newly initialized.
        dequantize: Whether quantized weights are dequantized, if their method is known, and not refused; by default
            they are, unless ``MF_QWEN3_PATCH_DEQUANTIZE=0`` says otherwise.
        generation_config: Used instead of generation_config.json: MindFormers' object.
        trust_remote_code: Never needed; warned of.
        family: The model family; by default the one that config.json names.
        keywords: ``subfolder``, ``variant``, ``revision``, ``cache_dir``, ``local_files_only``, ``force_download``
            and ``token`` (or ``use_auth_token``) say where the model is, ``adapter`` is the directory of a LoRA
            adapter to merge. The others are config fields (``num_hidden_layers``, ``seq_length``, ``compute_dtype``,
            ...) that replace what config.json says.

    Returns:
        The loaded inference network, ready for ``generate``; its ``mf_qwen3_report`` says what was done. With
        ``output_loading_info``, a pair of it and the dict.

    Raises:
        CheckpointError: The checkpoint cannot be loaded rightly; nothing was built.
        LoadNotProven: The loaded model does not hold what the checkpoint says; it is not returned.

    Examples:
        >>> model = mf_qwen3_patch.load_pretrained("/data/Qwen3-8B", dtype="bfloat16")
        >>> print(model.mf_qwen3_report)
        TypeError: There is no such keyword.
        ValueError: A keyword asks for what is not done here.
    """
    started = time.perf_counter()
    warn_of_remote_code(trust_remote_code)
    requested = requested_dtype(dtype, torch_dtype, ms_dtype)
    join_other_ranks()
    ranks = Ranks.of_model()
    with closing(Location.of(name, keywords)) as location:
        with ranks.step():
            directory = location.find()
            given = _given(config, keywords, directory, family)
            checkpoint = open_checkpoint(directory, absent_config=given.absent_config, variant=location.variant)
            converted = has_fused_parameters(checkpoint, noted=True)
            if converted:
                found = _checked_config(checkpoint, given)
            else:
                wanted = given.family or family
                options = CheckOptions(
                    given.values,
                    given.source,
                    parallelism(),
                    model_type=wanted.model_type if wanted else None,
                    fewer_layers=True,
                    ignore_mismatched_sizes=ignore_mismatched_sizes,
                    dequantize=dequantize,
                )
                found = _sound(check(checkpoint, options))
                checkpoint = found.checkpoint  # with quantized weights and adapters as what they stand for
            ensure_inference_context()
            device = device_kind()
            choice = choose_dtypes(found.memory.dtype, requested, given.dtypes(requested, device), device=device)
            if choice.note:
                say(choice.note)
            refuse_without_room(found.tables, directory.path)
            model = build_model(given.build(found.config, choice, found.family), found.family)
            model.set_train(False)
            if device != "CPU":
                _say_memory(model.config, found, choice)
            plan, details = (
                plan_converted(model, checkpoint, found.family, started) if converted else _plan(model, found, started)
            )
        report = execute(model, plan, checkpoint, details, ranks)
        if generation_config is None:
            messages = set_generation_config(model, directory.path)
            warn(messages)
            report = model.mf_qwen3_report = replace(report, warnings=(*report.warnings, *messages))
        else:
            model.generation_config = generation_config
    say("%s", report.summary)
    save_where_wanted(report)
    return (model, report.as_loading_info()) if output_loading_info else model


def _say_memory(config: Any, found: Preflight, choice: DtypeChoice) -> None:
    ranks, tokens = parallelism(), config.num_blocks * config.block_size
    memory = forecast_memory(found.dims, choice.values["params_dtype"], ranks, None, found.tables)
    budget = forecast_device(found.dims, memory, ranks, tokens, choice.values["compute_dtype"], memory_limit())
    say("memory of each device: %s (seq_length=%d, num_blocks=%d)", budget, config.seq_length, config.num_blocks)


def load_weights(
    model: PreTrainedModel,
    directory: str | os.PathLike[str] | Directory,
    *,
    adapter: str | os.PathLike[str] | None = None,
    dequantize: bool | None = None,
    family: Family | None = None,
) -> LoadReport:
    """Load a directory into a model that is already built.

    Args:
        model: The inference network; its config must agree with the weights.
        directory: A HuggingFace Qwen3 directory, the hub ID of one in a cache, or one with MindFormers' names:
            converted by ``convert``, in either layout, or merged by MindFormers without a note of its layout, which is
            then taken for the training layout, as MindFormers does, with a warning.
        adapter: The directory of a LoRA adapter that is merged into HuggingFace's weights.
        dequantize: Whether quantized weights of HuggingFace's are dequantized, as in ``load_pretrained``.
        family: The model family; by default the model's own.

    Returns:
        The report; also ``model.mf_qwen3_report``. After an error there is none, and the model is unchanged.

    Raises:
        CheckpointError: The checkpoint cannot be loaded rightly into this model.
        LoadNotProven: The model did not hold what the checkpoint says.

    Examples:
        >>> report = mf_qwen3_patch.load_weights(model, "/data/Qwen3-8B")
        >>> report.save("load.json")
    """
    started = time.perf_counter()
    family = family or family_of(model)
    discard_report(model)
    if not isinstance(directory, Directory):
        directory = Location(directory, local_files_only=True).find()
    source = with_adapter(directory, adapter)
    built_with = fields_of(model.config, family)
    stand_in = {"model_type": family.model_type, **built_with}
    ranks = Ranks.of_model()
    with closing(source), ExitStack() as files:
        with ranks.step():
            if source.rank_directories:
                checkpoint = files.enter_context(open_rank_directory(source))
            else:
                checkpoint = files.enter_context(open_checkpoint(source, absent_config=stand_in))
            if source.rank_directories or has_fused_parameters(checkpoint):
                plan, details = plan_converted(model, checkpoint, family, started)
            else:
                options = CheckOptions(
                    built_with, "the model's config", parallelism(), model_type=family.model_type, dequantize=dequantize
                )
                found = _sound(check(checkpoint, options))
                checkpoint = found.checkpoint
                plan, details = _plan(model, found, started)
        report = execute(model, plan, checkpoint, details, ranks)
    for line in str(report).splitlines():
        say("%s", line)
    save_where_wanted(report)
    return report


def _checked_config(checkpoint: Checkpoint, given: GivenConfig) -> Preflight:
    """Return what config.json and the call say of a converted directory, whose weights are checked once it is built."""
    config = normalize(checkpoint.config, family=checkpoint.family)
    config = apply_overrides(config, given.values, given.source).config
    unknown = other_model(checkpoint.config, checkpoint.family)
    problems = (*filter(None, [unknown]), *checkpoint.problems, *config.problems)
    ranks, dtype = parallelism(), parameter_dtype(checkpoint, config)
    tables = rotary_tables(config.values)
    memory = forecast_memory(config.dims, dtype, ranks, free_host_memory(), tables)
    found = Preflight(checkpoint, config.values, config.dims, problems, config.warnings, memory, config.family, tables)
    return _sound(found)


def _sound(found: Preflight) -> Preflight:
    found.raise_for_problems()
    warn(found.warnings)
    return found


def _given(config: Any, keywords: Mapping[str, Any], directory: Directory, family: Family | None) -> GivenConfig:
    """Return what the call says over config.json: ``config=``, or the config fields among the keywords."""
    given = None if config is None else GivenConfig.of(config)
    own = given and given.family
    # Without a config the check that follows says what is wrong with it.
    overrides = config_overrides(keywords, own or family or directory.family or QWEN3)
    if given:
        refuse_beside_config(overrides)
    return given or GivenConfig(overrides)


def _plan(model: Any, found: Preflight, started: float) -> tuple[Plan, Details]:
    checkpoint = found.checkpoint
    left_out = {misfit.name for misfit in found.misfits}
    loading = plan_with_fallback(model, checkpoint.tensors, found.family, left_out)
    ignored = {name: _why_ignored(name, found) for name in loading.unused}
    mismatched = {misfit.name: (misfit.found, misfit.wanted) for misfit in found.misfits}
    return loading, Details(started, ignored, mismatched, found.warnings, found.config["initializer_range"])


def _why_ignored(name: str, found: Preflight) -> str:
    family, dims = found.family, found.dims
    if name == family.head and dims.tie_word_embeddings:
        return "config.json ties the output layer to the embedding (tie_word_embeddings)"
    layer = parse_name(name).layer
    if layer is not None and layer >= dims.num_hidden_layers:
        return f"the config has {dims.num_hidden_layers} layers"
    if any(misfit.name == name for misfit in found.misfits):
        return "it has another size than the config asks for"
    if found.misfits and family.axes_of(name) is not None:
        return "it is merged with a tensor that has another size than the config asks for"
    return "Qwen3 has no such parameter"
