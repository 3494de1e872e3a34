"""A MindFormers directory becomes a HuggingFace one: the exact inverse of ``to_mindformers``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES, TensorInfo
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import (
    NewDirectory,
    Written,
    companion_files,
    refuse_nesting,
    source_identity,
    with_dtype,
)
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import split_into_files
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.convert.mindformers_directory import Source, SourceParameter, config_path, open_source
from mf_qwen3_patch.convert.tensor_writer import TensorWriter
from mf_qwen3_patch.families.layout import strided_copies, whole
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy

_FORMAT = 1


@dataclass(frozen=True)
class Exported:
    """The result of an export: the directory, its tensors, and the layouts of the source.

    ``ignored`` is in the source, but not of the model, as an optimizer's state is.
    """

    written: Written
    tensors: int
    layouts: Layouts
    ignored: tuple[str, ...]


def export_to_huggingface(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    layouts: Layouts | None = None,
    config: str | os.PathLike[str] | None = None,
    max_shard_bytes: int | None = None,
    progress: bool = True,
) -> Exported:
    """Export MindFormers weights, of a dense Qwen3 or a mixture of experts, as the config says.

    Args:
        source: A directory of safetensors files with whole parameters in MindFormers' names; it is only read.
        target: The directory to make; not there yet, or empty. A run that was stopped is continued.
        layouts: In which the source is; None: as its files say, which only files of ``convert`` do.
        config: The model's config.json, or a HuggingFace directory that has it (and its tokenizer); None: the source.
        max_shard_bytes: Of one file; None for no limit.
        progress: Show a progress bar.

    Raises:
        CheckpointError: The source cannot be exported rightly; ``target`` is not there.
        FileExistsError: ``target`` is something else already.
        OSError: The disk is too small, full or can't be written.
    """
    root, destination = Path(source), Path(target)
    refuse_nesting(root, destination)
    companions = root if config is None else Path(config)
    found = open_source(root, companions, layouts)
    tensors = found.checkpoint.tensors
    with found.checkpoint:
        writer = TensorWriter(found.checkpoint)
        new = [
            writer.new_tensor(_huggingface_tensor(parameter, tensors[parameter.name], name, expert, part))
            for parameter in found.parameters
            for expert, row in enumerate(parameter.parts.names)
            for part, name in enumerate(row)
        ]
        written = NewDirectory(
            destination,
            split_into_files(new, max_shard_bytes, {"format": "pt"}),
            _small_files(found, companions),
            {
                "made_by": f"mf_qwen3_patch export, format {_FORMAT}",
                "layouts": asdict(found.layouts),
                "max_shard_bytes": max_shard_bytes,
                "source": source_identity(found.checkpoint, config_path(companions)),
            },
        ).write(progress=progress, check_source=found.checkpoint.check_unchanged)
    return Exported(written, len(new), found.layouts, found.ignored)


def _huggingface_tensor(
    parameter: SourceParameter, tensor: TensorInfo, name: str, expert: int, part: int
) -> ParameterPlan:
    """Plan one HuggingFace tensor: the copies of a conversion, from the other side."""
    shape = parameter.fusion.parts[part]
    width = prod(shape[1:])
    regions = strided_copies(parameter.fusion.placement(part, expert), whole(shape), shape[0], width)
    return ParameterPlan(name, shape, DTYPE_NAMES[tensor.dtype], tuple(SliceCopy(tensor, region) for region in regions))


def _small_files(source: Source, companions: Path) -> dict[str, bytes]:
    directory = companions if companions.is_dir() else source.checkpoint.directory
    largest = max(source.checkpoint.tensors.values(), key=lambda tensor: tensor.nbytes)
    return {
        **companion_files(directory, [entry.name for entry in directory.iterdir()]),
        CONFIG_NAME: with_dtype(source.config, DTYPE_NAMES[largest.dtype]),
    }
