"""A MindFormers directory becomes a HuggingFace one: the exact inverse of ``to_mindformers``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import NewDirectory, Written, find_place
from mf_qwen3_patch.checkpoint.writing.companions import companion_files, with_dtype
from mf_qwen3_patch.checkpoint.writing.manifest import source_identity
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import split_into_files
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.convert.mindformers_directory import config_path, open_source
from mf_qwen3_patch.convert.tensor_writer import TensorWriter

_FORMAT = 1


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    written: Written
    tensors: int
    layouts: Layouts  # of the source
    ignored: tuple[str, ...]  # tensors of the source that are not of the model, as an optimizer's state is


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

    ``source`` has files with whole parameters, and is only read; its layouts only files of ``convert`` say themselves.
    ``target`` is not there yet, or empty; a run that was stopped is continued. ``config`` is the model's config.json,
    or a HuggingFace directory that has it (and its tokenizer), if the source has not. Raises CheckpointError if it
    cannot be exported rightly, FileExistsError if ``target`` is something else already, OSError if the disk is full.
    """
    root = Path(source)
    destination = find_place(root, Path(target))
    companions = root if config is None else Path(config)
    found = open_source(root, companions, layouts)
    with found.checkpoint:
        writer = TensorWriter(found.checkpoint)
        tensors = found.checkpoint.tensors
        entries = (entry for parameter in found.parameters for entry in parameter.split(tensors[parameter.name]))
        new = [writer.new_tensor(entry) for entry in entries]
        directory = companions if companions.is_dir() else root
        small_files = companion_files(directory, [entry.name for entry in directory.iterdir()])
        largest = max(tensors.values(), key=lambda tensor: tensor.nbytes)
        small_files[CONFIG_NAME] = with_dtype(found.config, DTYPE_NAMES[largest.dtype])
        written = NewDirectory(
            destination,
            split_into_files(new, max_shard_bytes, {"format": "pt"}),
            small_files,
            {
                "made_by": f"mf_qwen3_patch export, format {_FORMAT}",
                "layouts": asdict(found.layouts),
                "max_shard_bytes": max_shard_bytes,
                "source": source_identity(found.checkpoint, config_path(companions)),
            },
        ).write(progress=progress, check_source=found.checkpoint.check_unchanged)
    return Exported(written, len(new), found.layouts, found.ignored)
