"""A HuggingFace directory becomes a MindFormers one: files to files, without a device.

Each parameter is planned as a load plans it, read and written one at a time, and experts one by one. The bytes stay
what they are, unless another dtype is asked for, or the weights are quantized: those are dequantized.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism
from mf_qwen3_patch.checkpoint.checks.preflight import CheckOptions, Preflight, check
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES
from mf_qwen3_patch.checkpoint.files.shards import SINGLE_NAME
from mf_qwen3_patch.checkpoint.location.resolve import with_adapter
from mf_qwen3_patch.checkpoint.reading.strict_json import json_bytes
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import NewDirectory, Written, find_place, weight_map
from mf_qwen3_patch.checkpoint.writing.companions import companion_files, with_dtype, without_quantization
from mf_qwen3_patch.checkpoint.writing.manifest import source_identity
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewFile, NewTensor, split_into_files
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.convert.tensor_writer import TensorWriter
from mf_qwen3_patch.convert.whole_parameters import whole_parameters
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint, error_for, some
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import INFERENCE, LAYOUT_KEY, RANKS_KEY, Layout, layout_metadata
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context
from mf_qwen3_patch.loading.runtime.network import build_config, build_model
from mf_qwen3_patch.loading.runtime.virtual_rank import as_rank
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan
from mf_qwen3_patch.loading.transfer.planner import plan

# MindFormers' distributed load finds the files by it, if there are several.
_TRAINING_INDEX = "param_name_map.json"
# Of the rule by which a directory is made from its source: another number, and a run never goes on with the old files.
_FORMAT = 1
# The networks are built for their parameters alone, and what stock computes for angles is none.
_SHORT_TABLES = {"max_position_embeddings": 1, "rope_scaling": None}


@dataclass(frozen=True)
class Converted:
    """The result of a conversion."""

    written: Written
    parameters: int  # of each rank
    ignored: tuple[str, ...]  # tensors of the source that Qwen3 does not have
    warnings: tuple[str, ...]
    adapter: str = ""  # the directory of the adapter that was merged
    dequantized: str = ""  # the method by which weights of the source were quantized


def convert_to_mindformers(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    layout: Layout = INFERENCE,
    ranks: int = 1,
    dtype: str | None = None,
    max_shard_bytes: int | None = None,
    progress: bool = True,
) -> Converted:
    """Convert a HuggingFace Qwen3 directory, dense or a mixture of experts, which is only read.

    ``target`` is not there yet, or empty; a run that was stopped is continued. With several tensor-parallel ranks each
    gets one file with its own slices, ``rank_N/model.safetensors``, which is all stock looks for, whatever
    ``max_shard_bytes``; config and tokenizer stay where they are. A LoRA ``adapter`` is merged, be it given or in
    ``source``. ``dtype`` is ``float32``, ``float16`` or ``bfloat16``; None keeps the tensors' own. Raises
    CheckpointError if the source cannot be converted rightly or was changed meanwhile, FileExistsError if ``target``
    is something else already, OSError if the disk is full.
    """
    root = Path(source)
    destination = find_place(root, Path(target))
    if ranks > 1 and layout != INFERENCE:
        raise ValueError("the training layout is not cut for ranks beforehand: each cuts its own as it loads")
    with open_checkpoint(with_adapter(root, adapter)) as checkpoint:
        found = check(checkpoint, CheckOptions(parallelism=Parallelism(ranks)))
        found.raise_for_problems()
        planned = plan_conversion(
            found, destination, Layouts.all(layout), ranks=ranks, dtype=dtype, max_shard_bytes=max_shard_bytes
        )
        return planned.write(progress=progress)


@dataclass(frozen=True)
class Conversion:
    """A conversion that is planned: the directory that is to be made, and the sound checkpoint that it is made from."""

    directory: NewDirectory
    found: Preflight
    entries: tuple[ParameterPlan, ...]  # every parameter, whole
    overflowed: Mapping[str, int]  # grows while the directory is written
    dtype: str | None

    def write(self, *, progress: bool = True) -> Converted:
        """Make the directory, or go on where a run was stopped, unless it is there already."""
        checkpoint, found = self.found.checkpoint, self.found
        written = self.directory.write(progress=progress, check_source=checkpoint.check_unchanged)
        used = {copy.tensor.name for entry in self.entries for copy in entry.copies}
        ignored = tuple(name for name in checkpoint.tensors if name not in used)
        memory = found.memory.warnings(None)  # a conversion does not need the memory that a load does
        warnings = [warning for warning in found.warnings if warning not in memory]
        if names := some([f"{name} ({count})" for name, count in self.overflowed.items()], 5):
            advice = "convert to bfloat16 or float32, or leave the dtype as it is"
            warnings.append(f"finite values are too large for {self.dtype} and became infinite: {names}; {advice}")
        count = len(self.directory.files[0].tensors) if RANKS_KEY in self.directory.files[0].metadata else 0
        adapter = "" if checkpoint.source.adapter is None else str(checkpoint.source.adapter.path)
        return Converted(written, count or len(self.entries), ignored, tuple(warnings), adapter, checkpoint.dequantized)


def plan_conversion(
    found: Preflight,
    target: Path,
    layouts: Layouts,
    *,
    ranks: int = 1,
    dtype: str | None = None,
    dtype_of_mixed: str | None = None,
    max_shard_bytes: int | None = None,
) -> Conversion:
    """Plan the conversion of a checkpoint in which no problem was found, and which stays open until it is written.

    The parameters have ``dtype``, or keep the tensors' own; where the parts of one differ, all have ``dtype_of_mixed``,
    without which that is an error.
    """
    checkpoint = found.checkpoint
    entries = whole_plans(found, layouts)
    if dtype is None and (problems := _mixed_dtypes(entries)):
        if dtype_of_mixed is None:
            raise error_for(problems, str(checkpoint.directory))
        dtype = dtype_of_mixed
    writer, adapter = TensorWriter(checkpoint), checkpoint.source.adapter
    small_files: dict[str, bytes] = {}
    if ranks == 1:
        tensors = [_new_tensor(entry, writer, found.family, dtype) for entry in entries]
        new_files = split_into_files(tensors, max_shard_bytes, {LAYOUT_KEY: layouts.note})
        small_files = companion_files(checkpoint.directory, checkpoint.listing)
        if CONFIG_NAME in checkpoint.listing:
            config = checkpoint.source.read(CONFIG_NAME)
            if checkpoint.dequantized:
                config = without_quantization(config)
            small_files[CONFIG_NAME] = config if dtype is None else with_dtype(config, dtype)
        if layouts != Layouts.all(INFERENCE) and len(new_files) > 1:
            small_files[_TRAINING_INDEX] = json_bytes(weight_map(new_files))
    else:
        ensure_inference_context()
        new_files = tuple(_file_of_rank(found, writer, rank, ranks, dtype) for rank in range(ranks))
        # A directory with a config.json but no weights beside it, run_mindformer.py takes for a model without any:
        # as pretrained_model_dir it would talk nonsense. The ranks' files go with the source's config.
    directory = NewDirectory(
        target,
        new_files,
        small_files,
        {
            "made_by": f"mf_qwen3_patch convert, format {_FORMAT}",
            "layout": layouts.note,
            "tensor_parallel": ranks,
            "dtype": dtype,
            "max_shard_bytes": max_shard_bytes if ranks == 1 else None,
            "source": source_identity(checkpoint),
            **({} if adapter is None else {"adapter": adapter.adapter_config()}),
        },
    )
    return Conversion(directory, found, tuple(entries), writer.overflowed, dtype)


def whole_plans(found: Preflight, layouts: Layouts) -> list[ParameterPlan]:
    """Plan every parameter that a sound checkpoint makes, by MindFormers' name, whole."""
    tensors, family = found.checkpoint.tensors, found.family
    head = tensors[family.head].shape if family.head in tensors else None
    return [parameter.merged(tensors) for parameter in whole_parameters(family, found.dims, layouts, head)]


def _mixed_dtypes(entries: list[ParameterPlan]) -> list[Problem]:
    problems = []
    for entry in entries:
        first = entry.copies[0].tensor
        if other := next((copy.tensor for copy in entry.copies if copy.tensor.dtype != first.dtype), None):
            summary = f"{first.name} and {other.name} differ in dtype, and become one parameter"
            where = {"tensor": other.name, "parameter": entry.name, "expected": first.dtype, "found": other.dtype}
            advice = "say which dtype all shall have: --dtype"
            problems.append(Problem(UnsupportedCheckpoint, summary, **where, advice=advice))
    return problems


def _new_tensor(entry: ParameterPlan, writer: TensorWriter, family: Family, dtype: str | None) -> NewTensor:
    own, tensors = DTYPE_NAMES[entry.copies[0].tensor.dtype], {copy.tensor.name for copy in entry.copies}
    # More than one matrix only of stacked experts.
    return writer.new_tensor(replace(entry, dtype=dtype or own), len(tensors) // family.parts_of(entry.name))


def _file_of_rank(found: Preflight, writer: TensorWriter, rank: int, ranks: int, dtype: str | None) -> NewFile:
    family = found.family
    with as_rank(rank, ranks):
        model = build_model(build_config({**found.config, **_SHORT_TABLES}, family), family)
        entries = plan(model, found.checkpoint.tensors, family).parameters
    tensors = tuple(_new_tensor(entry, writer, family, dtype) for entry in entries)
    return NewFile(f"rank_{rank}/{SINGLE_NAME}", tensors, layout_metadata(INFERENCE, rank=rank, ranks=ranks))
