"""Directories with MindFormers' names: converted by ``convert`` (or ``qkv_concat: True``), or merged by MindFormers.

Names and shapes do not tell in which layout parameters were fused, and MindFormers' ``load_weights`` takes the training
layout for granted. So what converts under the shim notes the layout in the files' metadata. A file without that note is
taken as MindFormers takes it, with one warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism
from mf_qwen3_patch.checkpoint.checks.quantization import quantization_of
from mf_qwen3_patch.checkpoint.checks.relocated_experts import relocated_experts
from mf_qwen3_patch.checkpoint.checks.unsupported import MERGE_ADAPTER, is_of_an_adapter
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.config.overrides import apply_overrides
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME, Directory
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import PARTIAL
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import UNFINISHED
from mf_qwen3_patch.errors import (
    ConfigMismatch,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    Problem,
    UnsupportedCheckpoint,
    error_for,
    some,
)
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import INFERENCE, LAYOUT_KEY, RANK_KEY, RANKS_KEY, TRAINING, Layout
from mf_qwen3_patch.families.registry import is_known, is_parameter_name
from mf_qwen3_patch.loading.config_argument import fields_of
from mf_qwen3_patch.loading.execute import Details
from mf_qwen3_patch.loading.fallback import plan_with_fallback
from mf_qwen3_patch.loading.runtime.context import parallelism
from mf_qwen3_patch.loading.runtime.log import warn
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parallel import rank_numbers
from mf_qwen3_patch.loading.transfer.name_mapping import of_another_family
from mf_qwen3_patch.loading.transfer.plan import Plan
from mf_qwen3_patch.loading.transfer.planner import plan_fused
from mf_qwen3_patch.loading.transfer.rank_share import layer_of
from mf_qwen3_patch.loading.transfer.rank_slices import PlanNotPossible

_AGAIN = "convert the HuggingFace directory again, into an empty place"
_OWN_CONFIG = "build the model from the config.json that belongs to these weights"
_ASSUMED = (
    "the files do not say in which layout query, key, value and gate, up are fused: the training layout is assumed, as "
    "MindFormers' own load_weights does. If they were trained with use_contiguous_weight_layout_attention or without "
    "use_interleaved_weight_layout_mlp, or saved from an inference model, the output will be wrong"
)


def has_fused_parameters(checkpoint: Checkpoint, *, noted: bool = False) -> bool:
    """Return whether weights have MindFormers' names, not HuggingFace's; ``noted``: and their files note a layout."""
    if any(LAYOUT_KEY in header.metadata for header in checkpoint.headers.values()):
        return True
    names = checkpoint.tensors.keys()
    return not noted and any(map(is_parameter_name, names)) and not any(map(is_known, names))


def open_rank_directory(source: Directory) -> Checkpoint:
    """Open the files of this rank in a directory that has one directory for each rank: for as many, without a gap."""
    ranks, found = parallelism().tensor, source.rank_directories
    if found != [f"rank_{rank}" for rank in range(len(found))]:
        summary, wanted = "the directories of some ranks are missing", "rank_0, rank_1 and so on, without a gap"
        advice = "convert the HuggingFace directory again, or copy all directories"
        problem = Problem(IncompleteCheckpoint, summary, expected=wanted, found=some(found, 5), advice=advice)
        raise error_for([problem], str(source.path))
    if len(found) != ranks:
        raise error_for([_for_other_ranks(len(found), ranks)], str(source.path))
    _refuse_unfinished(source)
    own = Directory(source.path / f"rank_{rank_numbers().tensor}")
    # The config is that of the source, which the conversion leaves where it is.
    return open_checkpoint(own, absent_config={})


def plan_converted(model: Any, checkpoint: Checkpoint, family: Family, started: float) -> tuple[Plan, Details]:
    """Check a checkpoint with MindFormers' names, and plan its load into a model that is already built.

    ``started`` is when the entry was called, for the report. Raises a CheckpointError if files are damaged, missing,
    made for another number of ranks or kind of model, or don't fit the network.
    """
    root = str(checkpoint.directory)
    _refuse_unfinished(checkpoint.source)
    if checkpoint.problems:
        raise error_for(checkpoint.problems, root)
    layout, sliced, problems = _noted(checkpoint)
    shared, names = parallelism(), checkpoint.tensors.keys()
    problems += _unsupported_tensors(names)
    if found := of_another_family(names, family):
        parameter, other = found
        summary = f"the converted files are of {other.title}, but the model that they are loaded into is {family.title}"
        where = {"parameter": parameter, "expected": family.model_type, "found": other.model_type}
        problems.append(Problem(UnsupportedCheckpoint, summary, **where, advice=_OWN_CONFIG))
    elif sliced not in (1, shared.tensor):
        problems.append(_for_other_ranks(sliced, shared.tensor))
    elif sliced > 1 and family.router and (shared.data, shared.expert) != (1, 1):
        problems.append(_not_for_expert_ranks(sliced, shared))
    elif relocated := relocated_experts(checkpoint):
        problems.append(relocated)
    if problems:
        raise error_for(problems, root)
    warnings = [*checkpoint.warnings, *_contradictions(model, checkpoint, family)]
    if layout is None:
        warnings.append(_ASSUMED)
    loading = _plan(model, checkpoint, family, layout or TRAINING, sliced)
    _refuse_more_layers(loading.unused, model, checkpoint)
    if loading.unused:
        warnings.append(f"ignored, as Qwen3 has no such parameters: {some(loading.unused, 10, ' and {} more')}")
    warn(warnings)
    unused = dict.fromkeys(loading.unused, "the network has no such parameter")
    return loading, Details(started, ignored=unused, warnings=tuple(warnings))


def _plan(model: Any, checkpoint: Checkpoint, family: Family, layout: Layout, sliced: int) -> Plan:
    tensors = checkpoint.tensors
    if sliced == 1 and not any(family.fused_of(name) for name in tensors):
        return plan_with_fallback(model, tensors, family)
    dims = family.dims_of(fields_of(model.config, family))
    try:
        return plan_fused(model, tensors, family, dims, layout, ranks=sliced)
    except PlanNotPossible as reason:
        if sliced == 1 and layout == TRAINING:
            return plan_fused(model, tensors, family, dims, layout, fallback=str(reason))
        only = f"this network can be loaded by MindFormers' own loader only ({reason})"
        summary, advice = f"{only}, which does not take the inference layout", "load the HuggingFace directory itself"
        values = {"expected": "a HuggingFace directory, or the training layout", "found": "the inference layout"}
        problem = Problem(UnsupportedCheckpoint, summary, **values, advice=advice)
        raise error_for([problem], str(checkpoint.directory)) from reason


def _noted(checkpoint: Checkpoint) -> tuple[Layout | None, int, list[Problem]]:
    """Return the layout and the number of ranks that the files note, and what is wrong with the note."""
    own = str(rank_numbers().tensor)
    layouts, ranks = set(), set()
    problems: list[Problem] = []

    def damaged(file: str, key: str, expected: str, found: str) -> None:
        summary, shown = f"{file} has a damaged note of its conversion: {key}", short_json(found)
        where = {"file": file, "field": key, "expected": expected, "found": shown}
        problems.append(Problem(CorruptCheckpoint, summary, **where, advice=_AGAIN))

    for path, header in checkpoint.headers.items():
        layout, count = header.metadata.get(LAYOUT_KEY), header.metadata.get(RANKS_KEY, "1")
        layouts.add(layout)
        if count.isascii() and count.isdecimal() and len(count) < 10 and int(count) > 0:
            ranks.add(int(count))
        else:
            damaged(path.name, RANKS_KEY, "a whole number, at least 1", count)
        rank = header.metadata.get(RANK_KEY, own)
        if rank != own and not problems:
            damaged(path.name, RANK_KEY, own, rank)
        if layout not in (INFERENCE, TRAINING, None):
            damaged(path.name, LAYOUT_KEY, f"{INFERENCE} or {TRAINING}", str(layout))
    if not problems and (len(layouts) > 1 or len(ranks) > 1):
        summary, found = "the converted files are not of one conversion", ", ".join(sorted(map(str, layouts)))
        problems.append(Problem(UnsupportedCheckpoint, summary, field=LAYOUT_KEY, found=found, advice=_AGAIN))
    known = next((layout for layout in (INFERENCE, TRAINING) if layout in layouts), None)
    return known, min(ranks, default=1), problems


def _refuse_unfinished(source: Directory) -> None:
    left = min((name for name in source.listing if name.endswith(UNFINISHED)), default=None)
    if left is None and not source.path.name.endswith(PARTIAL):
        return
    summary = "a conversion into this directory was stopped before it was whole"
    found = left or f"{source.path.name}, where a conversion grows"
    where = {"file": left, "expected": "a finished conversion", "found": found}
    advice = "run the same convert command again: it goes on where it was stopped"
    raise error_for([Problem(IncompleteCheckpoint, summary, **where, advice=advice)], str(source.path))


def _unsupported_tensors(names: Iterable[str]) -> list[Problem]:
    for name in names:
        if is_of_an_adapter(name):
            summary, advice = f"{name} belongs to a LoRA adapter, not to a whole model", MERGE_ADAPTER
            return [Problem(UnsupportedCheckpoint, summary, tensor=name, advice=advice)]
        if method := quantization_of(name):
            summary = f"{name} belongs to quantized weights ({method}); without their scales they would load as garbage"
            advice = "use the unquantized weights (bfloat16 or float16)"
            return [Problem(UnsupportedCheckpoint, summary, tensor=name, advice=advice)]
    return []


def _contradictions(model: Any, checkpoint: Checkpoint, family: Family) -> tuple[str, ...]:
    """Return warnings of fields that no weight can confirm, where config.json and the model's config differ."""
    if CONFIG_NAME not in checkpoint.listing or checkpoint.family is not family:
        return ()
    config = normalize(checkpoint.config, family=family)
    overridden = apply_overrides(config, fields_of(model.config, family), "the model's config")
    return overridden.config.warnings[len(config.warnings) :]


def _refuse_more_layers(unused: Iterable[str], model: Any, checkpoint: Checkpoint) -> None:
    """Refuse parameters of layers that the network lacks; others that are not used may be ignored."""
    layers = {-1, *map(layer_of, network_parameters(model))}
    beyond = {name: layer for name in unused if (layer := layer_of(name)) not in layers}
    if not beyond:
        return
    first, more = next(iter(beyond)), f"{len(set(beyond.values()))} layers that the network does not have"
    summary = f"the files have parameters of {more}: dropping them would change the output"
    where = {"file": checkpoint.tensors[first].file.name, "parameter": first, "field": "num_hidden_layers"}
    expected = f"{model.model.config.num_layers} layers (the network)"
    found = f"{max(beyond.values()) + 1} layers (the files)"
    problem = Problem(ConfigMismatch, summary, **where, expected=expected, found=found, advice=_OWN_CONFIG)
    raise error_for([problem], str(checkpoint.directory))


def _for_other_ranks(sliced: int, ranks: int) -> Problem:
    made_for = "whole, and merged" if sliced == 1 else f"sliced for {sliced} tensor-parallel ranks"
    summary = f"the parameters in the converted files are {made_for}, and cannot be shared out among {ranks}"
    directly = "load the HuggingFace directory itself (without qkv_concat), which is merged and sliced in one go"
    advice = f"{directly}, or convert it with --tp {ranks}"
    wanted, found = f"files made for {ranks} rank{'' if ranks == 1 else 's'}", f"files made for {sliced}"
    return Problem(UnsupportedCheckpoint, summary, expected=wanted, found=found, advice=advice)


def _not_for_expert_ranks(sliced: int, shared: Parallelism) -> Problem:
    summary = f"the experts in the converted files are sliced for {sliced} tensor-parallel ranks, and are shared here"
    among = f"among {shared.expert} expert-parallel and {shared.data} data-parallel ranks"
    advice = "load the HuggingFace directory itself (without qkv_concat), or convert it whole, without --tp"
    values = {"expected": "files that are whole", "found": f"files made for {sliced} ranks without expert parallelism"}
    return Problem(UnsupportedCheckpoint, f"{summary} {among}", **values, advice=advice)
