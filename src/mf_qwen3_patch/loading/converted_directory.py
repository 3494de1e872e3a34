"""Directories with MindFormers' names: converted by ``convert`` (or ``qkv_concat: True``), or merged by MindFormers.

Names and shapes do not tell in which layout parameters were fused, and MindFormers' ``load_weights`` takes the training
layout for granted. So what converts under the shim notes the layout in the files' metadata. A file without that note is
taken as MindFormers takes it, with one warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mindformers.parallel_core.inference.parallel_state import get_tensor_model_parallel_rank

from mf_qwen3_patch.checkpoint.checks.unsupported import MERGE_ADAPTER, is_of_an_adapter, quantization_of
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
from mf_qwen3_patch.loading.execute import Details, execute
from mf_qwen3_patch.loading.report import LoadReport
from mf_qwen3_patch.loading.runtime.context import tensor_parallel_size
from mf_qwen3_patch.loading.runtime.log import warn
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.name_mapping import of_another_family
from mf_qwen3_patch.loading.transfer.plan import Plan
from mf_qwen3_patch.loading.transfer.planner import plan, plan_for_verification, plan_fused
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
    """Open the files of this rank in a directory that has one directory for each rank.

    Raises:
        UnsupportedCheckpoint: It was made for another number of ranks.
        IncompleteCheckpoint: Directories of some ranks are missing.
    """
    ranks, found = tensor_parallel_size(), source.rank_directories
    if found != [f"rank_{rank}" for rank in range(len(found))]:
        raise error_for([_gap_in_ranks(found)], str(source.path))
    if len(found) != ranks:
        raise error_for([_for_other_ranks(len(found), ranks)], str(source.path))
    _refuse_unfinished(source)
    own = Directory(source.path / f"rank_{get_tensor_model_parallel_rank()}")
    # The config is that of the source, which the conversion leaves where it is.
    return open_checkpoint(own, absent_config={})


def load_fused(model: Any, checkpoint: Checkpoint, family: Family, started: float) -> LoadReport:
    """Load a checkpoint with MindFormers' names into a model that is already built; all of it, or nothing.

    ``started`` is when the entry was called, for the report.

    Raises:
        UnsupportedCheckpoint: The files were not made for this number of ranks, or are of another kind of model.
        IncompleteCheckpoint: A parameter of the network is not there, or a conversion was stopped.
        ConfigMismatch: A parameter has another shape than in the network, or there are more layers than it has.
        CorruptCheckpoint: A file or its note of the layout is damaged.
        InvalidValues: A parameter holds NaN or infinity.
    """
    root = str(checkpoint.directory)
    _refuse_unfinished(checkpoint.source)
    if checkpoint.problems:
        raise error_for(checkpoint.problems, root)
    layout, sliced, problems = _noted(checkpoint)
    ranks = tensor_parallel_size()
    names = checkpoint.tensors.keys()
    problems += _unsupported_tensors(names)
    if found := of_another_family(names, family):
        problems.append(_of_another_family(*found, family))
    elif sliced not in (1, ranks):
        problems.append(_for_other_ranks(sliced, ranks))
    if problems:
        raise error_for(problems, root)
    warnings = [*checkpoint.warnings, *_contradictions(model, checkpoint, family)]
    if layout is None:
        warnings.append(_ASSUMED)
    loading = _plan(model, checkpoint, family, layout or TRAINING, sliced)
    extra, ignored = _extra_tensors(loading.unused, model, checkpoint)
    if extra:
        raise error_for(extra, root)
    if ignored:
        warnings.append(f"ignored, as Qwen3 has no such parameters: {some(ignored, 10, ' and {} more')}")
    warn(warnings)
    details = Details(
        started, ignored=dict.fromkeys(loading.unused, "the network has no such parameter"), warnings=tuple(warnings)
    )
    return execute(model, loading, checkpoint, details)


def _plan(model: Any, checkpoint: Checkpoint, family: Family, layout: Layout, sliced: int) -> Plan:
    tensors = checkpoint.tensors
    fused = any(family.fused_of(name) is not None for name in tensors)
    dims = family.dims_of(fields_of(model.config, family))
    try:
        if fused or sliced > 1:
            return plan_fused(model, tensors, family, dims, layout, ranks=sliced)
        return plan(model, tensors, family)
    except PlanNotPossible as reason:
        if fused and (sliced > 1 or layout == INFERENCE):
            raise error_for([_only_by_mindformers(str(reason))], str(checkpoint.directory)) from reason
        if fused:
            return plan_fused(model, tensors, family, dims, layout, fallback=str(reason))
        return plan_for_verification(model, tensors, family, str(reason))


def _noted(checkpoint: Checkpoint) -> tuple[Layout | None, int, list[Problem]]:
    """Return the layout and the number of ranks that the files note, and what is wrong with the note."""
    layouts, ranks = set(), set()
    problems = []
    for file, header in checkpoint.headers.items():
        layouts.add(header.metadata.get(LAYOUT_KEY))
        value = header.metadata.get(RANKS_KEY, "1")
        if value.isascii() and value.isdecimal() and 0 < int(value[:9]) == int(value):
            ranks.add(int(value))
        else:
            problems.append(_damaged_note(file.name, RANKS_KEY, "a whole number, at least 1", value))
        rank = header.metadata.get(RANK_KEY)
        if rank is not None and rank != str(get_tensor_model_parallel_rank()) and not problems:
            problems.append(_damaged_note(file.name, RANK_KEY, str(get_tensor_model_parallel_rank()), rank))
        layout = header.metadata.get(LAYOUT_KEY)
        if layout not in (INFERENCE, TRAINING, None):
            problems.append(_damaged_note(file.name, LAYOUT_KEY, f"{INFERENCE} or {TRAINING}", str(layout)))
    if not problems and (len(layouts) > 1 or len(ranks) > 1):
        problems.append(_mixed(layouts))
    noted = layouts.pop() if len(layouts) == 1 else None
    known: Layout | None = INFERENCE if noted == INFERENCE else TRAINING if noted == TRAINING else None
    return known, min(ranks, default=1), problems


def _refuse_unfinished(source: Directory) -> None:
    left = sorted(name for name in source.listing if name.endswith(UNFINISHED))
    if not left and not source.path.name.endswith(PARTIAL):
        return
    summary = "a conversion into this directory was stopped before it was whole"
    file, found = (left[0], left[0]) if left else (None, f"{source.path.name}, where a conversion grows")
    advice = "run the same convert command again: it goes on where it was stopped"
    problem = Problem(
        IncompleteCheckpoint, summary, file=file, expected="a finished conversion", found=found, advice=advice
    )
    raise error_for([problem], str(source.path))


def _unsupported_tensors(names: Iterable[str]) -> list[Problem]:
    for name in names:
        if is_of_an_adapter(name):
            summary, advice = f"{name} belongs to a LoRA adapter, not to a whole model", MERGE_ADAPTER
        elif method := quantization_of(name):
            summary = f"{name} belongs to quantized weights ({method}); without their scales they would load as garbage"
            advice = "use the unquantized weights (bfloat16 or float16)"
        else:
            continue
        return [Problem(UnsupportedCheckpoint, summary, tensor=name, advice=advice)]
    return []


def _contradictions(model: Any, checkpoint: Checkpoint, family: Family) -> tuple[str, ...]:
    """Return warnings of fields that no weight can confirm, where config.json and the model's config differ."""
    if CONFIG_NAME not in checkpoint.listing or checkpoint.family is not family:
        return ()
    config = normalize(checkpoint.config, family=family)
    overridden = apply_overrides(config, fields_of(model.config, family), "the model's config")
    return overridden.config.warnings[len(config.warnings) :]


def _extra_tensors(unused: Iterable[str], model: Any, checkpoint: Checkpoint) -> tuple[list[Problem], list[str]]:
    """Tell parameters of layers that the network lacks, which are an error, from those that may be ignored."""
    layers = {layer for name in network_parameters(model) if (layer := _layer(name)) is not None}
    beyond = {name: layer for name in unused if (layer := _layer(name)) is not None and layer not in layers}
    ignored = [name for name in unused if name not in beyond]
    if not beyond:
        return [], ignored
    first = next(iter(beyond))
    summary = (
        f"the files have parameters of {len(set(beyond.values()))} layers that the network does not have: dropping "
        "them would change the output"
    )
    where = {"file": checkpoint.tensors[first].file.name, "parameter": first, "field": "num_hidden_layers"}
    expected = f"{max(layers, default=-1) + 1} layers (the network)"
    found = f"{max(beyond.values()) + 1} layers (the files)"
    return [Problem(ConfigMismatch, summary, **where, expected=expected, found=found, advice=_OWN_CONFIG)], ignored


def _layer(name: str) -> int | None:
    _, found, rest = name.partition("layers.")
    number = rest.split(".")[0]
    return int(number) if found and number.isdecimal() else None


def _only_by_mindformers(reason: str) -> Problem:
    return _unsupported(
        f"this network can be loaded by MindFormers' own loader only ({reason}), which does not take the "
        "inference layout",
        "load the HuggingFace directory itself",
        ("a HuggingFace directory, or the training layout", "the inference layout"),
    )


def _damaged_note(file: str, key: str, expected: str, found: str) -> Problem:
    summary = f"{file} has a damaged note of its conversion: {key}"
    values = {"expected": expected, "found": f"{found!r:.80}"}
    return Problem(CorruptCheckpoint, summary, file=file, field=key, **values, advice=_AGAIN)


def _gap_in_ranks(found: list[str]) -> Problem:
    summary, wanted = "the directories of some ranks are missing", "rank_0, rank_1 and so on, without a gap"
    advice = "convert the HuggingFace directory again, or copy all directories"
    return Problem(IncompleteCheckpoint, summary, expected=wanted, found=some(found, 5), advice=advice)


def _for_other_ranks(sliced: int, ranks: int) -> Problem:
    made_for = "whole, and merged" if sliced == 1 else f"sliced for {sliced} tensor-parallel ranks"
    return _unsupported(
        f"the parameters in the converted files are {made_for}, and cannot be shared out among {ranks}",
        "load the HuggingFace directory itself (without qkv_concat), which is merged and sliced in one go, or "
        f"convert it with --tp {ranks}",
        (f"files made for {ranks} rank{'' if ranks == 1 else 's'}", f"files made for {sliced}"),
    )


def _of_another_family(parameter: str, other: Family, family: Family) -> Problem:
    summary = f"the converted files are of {other.title}, but the model that they are loaded into is {family.title}"
    return _unsupported(summary, _OWN_CONFIG, (family.model_type, other.model_type), parameter=parameter)


def _mixed(layouts: set[str | None]) -> Problem:
    found = ", ".join(sorted(map(str, layouts)))
    return _unsupported("the converted files are not of one conversion", _AGAIN, (None, found), field=LAYOUT_KEY)


def _unsupported(summary: str, advice: str, values: tuple[str | None, str | None], **where: str) -> Problem:
    expected, found = values
    return Problem(UnsupportedCheckpoint, summary, expected=expected, found=found, advice=advice, **where)
