"""A HuggingFace directory becomes a MindFormers one: files to files, without a device.

Tensors are read, merged and written one parameter at a time, and experts one by one. The bytes stay what they are,
unless another dtype is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.preflight import Preflight, preflight
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME, Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import NewDirectory, Written, refuse_nesting, source_identity
from mf_qwen3_patch.checkpoint.writing.companions import companion_files, config_bytes, with_dtype
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewFile, NewTensor, split_into_files
from mf_qwen3_patch.convert.merged_parameters import merged_parameters
from mf_qwen3_patch.convert.tensor_bytes import TensorReader
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.layout import INFERENCE, Layout, Merging, layout_metadata, merging_of
from mf_qwen3_patch.families.mindformers import FAMILIES, Family
from mf_qwen3_patch.families.tensors import LM_HEAD, ModelDims, expected_tensors
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context
from mf_qwen3_patch.loading.runtime.virtual_rank import shards_of_rank
from mf_qwen3_patch.loading.transfer.cast import Array
from mf_qwen3_patch.loading.transfer.rank_slices import Shard
from mf_qwen3_patch.loading.transfer.reader import Files

# Of the rule by which a directory is made from its source: another number, and a run never goes on with the old files.
_FORMAT = 1


@dataclass(frozen=True)
class Converted:
    """What was done.

    Attributes:
        written: The directory.
        parameters: How many parameters it holds (for each rank).
        ignored: Tensors of the source that Qwen3 does not have.
        warnings: What should be known.
    """

    written: Written
    parameters: int
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Target:
    """One parameter.

    Attributes:
        name: Its name.
        merging: How its tensors are merged.
        matrices: They, part by part: of one matrix, or of each expert's.
    """

    name: str
    merging: Merging
    matrices: tuple[tuple[TensorInfo, ...], ...]

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """All its tensors, in order."""
        return tuple(chain.from_iterable(self.matrices))


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
        CheckpointError: The source cannot be converted rightly; ``target`` is not there.
        FileExistsError: ``target`` is something else already.
        OSError: The disk is too small, full or can't be written.
    """
    root, destination = Path(source), Path(target)
    refuse_nesting(root, destination)
    if ranks > 1 and layout != INFERENCE:
        raise ValueError("the training layout is not cut for ranks beforehand: each cuts its own as it loads")
    found = preflight(root, tensor_parallel=ranks)
    found.raise_for_problems()
    checkpoint, family = found.checkpoint, FAMILIES[found.model_type]
    targets = _targets(checkpoint, found.shape, family, layout)
    if dtype is None:
        _refuse_mixed_dtypes(targets, checkpoint)
    used = {tensor.name for target_ in targets for tensor in target_.tensors}
    with Files(tensor.file for tensor in checkpoint.tensors.values()) as files:
        reader = TensorReader(files, dtype)
        if ranks == 1:
            tensors = [_new_tensor(target_, reader, None) for target_ in targets]
            new_files = split_into_files(tensors, max_shard_bytes, layout_metadata(layout))
        else:
            ensure_inference_context()
            new_files = tuple(
                _file_of_rank(targets, reader, found, rank, ranks, family) for rank in range(ranks)
            )  # fmt: skip
        directory = NewDirectory(
            destination,
            new_files,
            # A directory with a config.json but no weights beside it, run_mindformer.py takes for a model without any:
            # as pretrained_model_dir it would talk nonsense. The ranks' files go with the source's config.
            _small_files(checkpoint, dtype) if ranks == 1 else {},
            {
                "made_by": f"mf_qwen3_patch convert, format {_FORMAT}",
                "layout": layout,
                "tensor_parallel": ranks,
                "dtype": dtype,
                "max_shard_bytes": max_shard_bytes if ranks == 1 else None,
                "source": source_identity([root / CONFIG_NAME, *checkpoint.files]),
            },
        )
        written = directory.write(progress=progress)
    ignored = tuple(name for name in checkpoint.tensors if name not in used)
    memory = found.memory.warnings(None)  # a conversion does not need the memory that a load does
    warnings = [warning for warning in found.warnings if warning not in memory]
    if reader.overflowed:
        names = ", ".join(f"{name} ({count})" for name, count in list(reader.overflowed.items())[:5])
        warnings.append(
            f"finite values are too large for {dtype} and became infinite: {names}; "
            "convert to bfloat16 or float32, or leave the dtype as it is"
        )
    return Converted(written, len(new_files[0].tensors) if ranks > 1 else len(targets), ignored, tuple(warnings))


def _targets(checkpoint: Checkpoint, shape: ModelDims, family: Family, layout: Layout) -> list[_Target]:
    names = dict.fromkeys(expected_tensors(shape))
    if LM_HEAD in checkpoint.tensors:  # a tied checkpoint may hold it all the same: nothing gets lost
        names[LM_HEAD] = None
    return [
        _Target(
            parameter.name,
            merging_of(parameter.element, layout, shape, experts=parameter.experts),
            tuple(tuple(checkpoint.tensors[name] for name in matrix) for matrix in parameter.matrices),
        )
        for parameter in merged_parameters(family.load(family.inference_class), names, family)
    ]


def _refuse_mixed_dtypes(targets: list[_Target], checkpoint: Checkpoint) -> None:
    problems = []
    for target in targets:
        first = target.tensors[0]
        other = next((tensor for tensor in target.tensors if tensor.dtype != first.dtype), None)
        if other is not None:
            problems.append(
                Problem(
                    UnsupportedCheckpoint,
                    f"{first.name} and {other.name} differ in dtype, and become one parameter",
                    tensor=other.name,
                    parameter=target.name,
                    expected=first.dtype,
                    found=other.dtype,
                    advice="say which dtype all shall have: --dtype",
                )
            )
    if problems:
        raise error_for(problems, str(checkpoint.directory))


def _new_tensor(target: _Target, reader: TensorReader, shards: tuple[Shard, ...] | None) -> NewTensor:
    """Describe a parameter: whole, or what ``shards`` say of each of its tensors."""
    parts = len(target.matrices[0])
    first = [
        tensor.shape if shards is None else _cut_shape(shards[part]) for part, tensor in enumerate(target.matrices[0])
    ]
    return NewTensor(
        target.name,
        reader.dtype_of(target.tensors[0]),
        target.merging.parameter_shape(target.merging.matrix_shape(first), len(target.matrices)),
        _maker(target, reader, shards, parts),
    )


def _maker(
    target: _Target, reader: TensorReader, shards: tuple[Shard, ...] | None, parts: int
) -> Callable[[], Iterator[Array]]:
    def matrix(number: int) -> Array:
        arrays = [reader.read(tensor) for tensor in target.matrices[number]]
        if shards is not None:
            own = shards[number * parts : (number + 1) * parts]
            arrays = [_cut(array, shard) for array, shard in zip(arrays, own, strict=True)]
        return target.merging.merge(arrays)

    return lambda: map(matrix, range(len(target.matrices)))


def _cut(array: Array, shard: Shard) -> Array:
    index = (*[slice(None)] * shard.axis, slice(shard.start, shard.start + shard.length))
    cut: Array = array[index]
    return cut


def _cut_shape(shard: Shard) -> tuple[int, ...]:
    return (*shard.shape[: shard.axis], shard.length, *shard.shape[shard.axis + 1 :])


def _file_of_rank(
    targets: list[_Target], reader: TensorReader, found: Preflight, rank: int, ranks: int, family: Family
) -> NewFile:
    shards = shards_of_rank(normalize(found.checkpoint.config).values, rank, ranks, family)
    tensors = [
        _new_tensor(target, reader, shards[target.name])
        for target in targets
        if target.name in shards  # a tied network has no output layer of its own
    ]
    metadata = layout_metadata(INFERENCE, rank=rank, ranks=ranks)
    (file,) = split_into_files(tensors, None, metadata)
    return NewFile(f"rank_{rank}/{file.name}", file.tensors, metadata)


def _small_files(checkpoint: Checkpoint, dtype: str | None) -> dict[str, bytes]:
    config = config_bytes(checkpoint.directory)
    return {
        **companion_files(checkpoint.directory, checkpoint.listing),
        CONFIG_NAME: config if dtype is None else with_dtype(config, dtype),
    }
