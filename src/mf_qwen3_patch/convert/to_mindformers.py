"""A HuggingFace directory becomes a MindFormers one: files to files, without a device.

Each parameter is planned as a load plans it, read and written one at a time, and experts one by one. The bytes stay
what they are, unless another dtype is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.preflight import CheckOptions, Preflight, check
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import (
    NewDirectory,
    Written,
    companion_files,
    refuse_nesting,
    source_identity,
    with_dtype,
)
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewFile, NewTensor, split_into_files
from mf_qwen3_patch.convert.tensor_writer import TensorWriter
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint, error_for, some
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import INFERENCE, Fusion, Layout, layout_metadata, strided_copies, whole
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context
from mf_qwen3_patch.loading.runtime.network import build_config, build_model
from mf_qwen3_patch.loading.runtime.virtual_rank import as_rank
from mf_qwen3_patch.loading.transfer.name_mapping import group_by_parameter
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy
from mf_qwen3_patch.loading.transfer.planner import plan

# Of the rule by which a directory is made from its source: another number, and a run never goes on with the old files.
_FORMAT = 1


@dataclass(frozen=True)
class Converted:
    """The result of a conversion: the directory, and how many parameters it holds (for each rank).

    ``ignored`` are tensors of the source that Qwen3 does not have.
    """

    written: Written
    parameters: int
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]


def convert_to_mindformers(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    layout: Layout = INFERENCE,
    ranks: int = 1,
    dtype: str | None = None,
    max_shard_bytes: int | None = None,
    progress: bool = True,
) -> Converted:
    """Convert a HuggingFace Qwen3 directory, dense or a mixture of experts.

    Args:
        source: The directory, which is only read.
        target: The directory to make; not there yet, or empty. A run that was stopped is continued.
        layout: ``inference``, or ``training``, which is also what stock's ``load_weights`` takes for granted.
        ranks: Tensor-parallel ranks; each gets a file with its own slices, ``rank_N/model.safetensors``. Config and
            tokenizer stay where they are.
        dtype: ``float32``, ``float16`` or ``bfloat16``; None keeps the tensors' own.
        max_shard_bytes: Of one file; None for no limit. A rank has one file in any case: that is all stock looks for.
        progress: Show a progress bar.

    Raises:
        CheckpointError: The source cannot be converted rightly, or was changed meanwhile; ``target`` is not there.
        FileExistsError: ``target`` is something else already.
        OSError: The disk is too small, full or can't be written.
    """
    root, destination = Path(source), Path(target)
    refuse_nesting(root, destination)
    if ranks > 1 and layout != INFERENCE:
        raise ValueError("the training layout is not cut for ranks beforehand: each cuts its own as it loads")
    with open_checkpoint(root) as checkpoint:
        found = check(checkpoint, CheckOptions(tensor_parallel=ranks))
        found.raise_for_problems()
        whole_plans = _whole_parameters(found, layout)
        if dtype is None:
            _refuse_mixed_dtypes(whole_plans, found)
        writer = TensorWriter(checkpoint)
        if ranks == 1:
            tensors = [_new_tensor(entry, writer, found.family, dtype, layout) for entry in whole_plans]
            new_files = split_into_files(tensors, max_shard_bytes, layout_metadata(layout))
        else:
            ensure_inference_context()
            new_files = tuple(_file_of_rank(found, writer, rank, ranks, dtype) for rank in range(ranks))
        directory = NewDirectory(
            destination,
            new_files,
            # A directory with a config.json but no weights beside it, run_mindformer.py takes for a model without any:
            # as pretrained_model_dir it would talk nonsense. The ranks' files go with the source's config.
            _small_files(found, dtype) if ranks == 1 else {},
            {
                "made_by": f"mf_qwen3_patch convert, format {_FORMAT}",
                "layout": layout,
                "tensor_parallel": ranks,
                "dtype": dtype,
                "max_shard_bytes": max_shard_bytes if ranks == 1 else None,
                "source": source_identity(checkpoint),
            },
        )
        written = directory.write(progress=progress, check_source=checkpoint.check_unchanged)
    used = {copy.tensor.name for entry in whole_plans for copy in entry.copies}
    ignored = tuple(name for name in checkpoint.tensors if name not in used)
    memory = found.memory.warnings(None)  # a conversion does not need the memory that a load does
    warnings = [warning for warning in found.warnings if warning not in memory]
    if writer.overflowed:
        names = some([f"{name} ({count})" for name, count in writer.overflowed.items()], 5)
        warnings.append(
            f"finite values are too large for {dtype} and became infinite: {names}; "
            "convert to bfloat16 or float32, or leave the dtype as it is"
        )
    count = len(new_files[0].tensors) if ranks > 1 else len(whole_plans)
    return Converted(written, count, ignored, tuple(warnings))


def _whole_parameters(found: Preflight, layout: Layout) -> list[ParameterPlan]:
    """Plan every parameter of the model, whole, in a layout and in the dtype of its first tensor."""
    tensors, family = found.checkpoint.tensors, found.family
    names = dict.fromkeys(family.expected_tensors(found.dims))
    if family.head in tensors:  # a tied checkpoint may hold it all the same: nothing gets lost
        names[family.head] = None
    entries = []
    for group in group_by_parameter(family.load(family.inference_class), names, family):
        parts = [tensors[name].shape for name in group.names[0]]
        fusion = Fusion(tuple(parts)) if group.fused is None else group.fused.layout(layout, parts, found.dims)
        copies = [
            SliceCopy(tensors[name], region)
            for expert, row in enumerate(group.names)
            for part, name in enumerate(row)
            for region in strided_copies(
                whole(parts[part]), fusion.placement(part, expert), parts[part][0], prod(parts[part][1:])
            )
        ]
        dtype = DTYPE_NAMES[copies[0].tensor.dtype]
        entries.append(ParameterPlan(group.parameter, fusion.shape, dtype, tuple(copies)))
    return entries


def _refuse_mixed_dtypes(entries: list[ParameterPlan], found: Preflight) -> None:
    problems = []
    for entry in entries:
        first = entry.copies[0].tensor
        other = next((copy.tensor for copy in entry.copies if copy.tensor.dtype != first.dtype), None)
        if other is not None:
            summary = f"{first.name} and {other.name} differ in dtype, and become one parameter"
            where = {"tensor": other.name, "parameter": entry.name, "expected": first.dtype, "found": other.dtype}
            advice = "say which dtype all shall have: --dtype"
            problems.append(Problem(UnsupportedCheckpoint, summary, **where, advice=advice))
    if problems:
        raise error_for(problems, str(found.checkpoint.directory))


def _new_tensor(
    entry: ParameterPlan, writer: TensorWriter, family: Family, dtype: str | None, layout: Layout
) -> NewTensor:
    matrices = 1
    if family.stacks(entry.name):
        experts = len({copy.tensor.name for copy in entry.copies}) // family.parts_of(entry.name)
        matrices = entry.shape[0] if layout == INFERENCE else experts
    return writer.new_tensor(replace(entry, dtype=dtype or DTYPE_NAMES[entry.copies[0].tensor.dtype]), matrices)


def _file_of_rank(found: Preflight, writer: TensorWriter, rank: int, ranks: int, dtype: str | None) -> NewFile:
    family = found.family
    config = normalize(found.checkpoint.config, family=family).values
    with as_rank(rank, ranks):
        model = build_model(build_config(config, family), family)
        entries = plan(model, found.checkpoint.tensors, family).parameters
    tensors = [_new_tensor(entry, writer, family, dtype, INFERENCE) for entry in entries]
    metadata = layout_metadata(INFERENCE, rank=rank, ranks=ranks)
    (file,) = split_into_files(tensors, None, metadata)
    return NewFile(f"rank_{rank}/{file.name}", file.tensors, metadata)


def _small_files(found: Preflight, dtype: str | None) -> dict[str, bytes]:
    checkpoint = found.checkpoint
    config = checkpoint.source.read("config.json")
    return {
        **companion_files(checkpoint.directory, checkpoint.listing),
        "config.json": config if dtype is None else with_dtype(config, dtype),
    }
