"""A MindFormers directory becomes a HuggingFace one: the exact inverse of ``to_mindformers``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path

from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_BITS, DTYPE_NAMES, TensorInfo
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import NewDirectory, Written, refuse_nesting, source_identity
from mf_qwen3_patch.checkpoint.writing.companions import companion_files, with_dtype
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import NewTensor, split_into_files
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.convert.mindformers_directory import Source, SourceParameter, config_path, open_source
from mf_qwen3_patch.convert.tensor_bytes import TensorReader
from mf_qwen3_patch.loading.transfer.cast import Array
from mf_qwen3_patch.loading.transfer.reader import Files

_FORMAT = 1


@dataclass(frozen=True)
class Exported:
    """What was done.

    Attributes:
        written: The directory.
        tensors: How many tensors it holds.
        layouts: In which layouts the source was.
        ignored: What is in the source, but not of the model, as an optimizer's state is.
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
    with Files(tensor.file for tensor in tensors.values()) as files:
        parts = _Parts(TensorReader(files))
        new = [
            NewTensor(name, tensor.dtype, shape, parts.maker(parameter, tensor, number, part))
            for parameter in found.parameters
            for tensor in (tensors[parameter.name],)
            for number, matrix in enumerate(parameter.merged.matrices)
            for part, (name, shape) in enumerate(zip(matrix, parameter.parts, strict=True))
        ]
        written = NewDirectory(
            destination,
            split_into_files(new, max_shard_bytes, {"format": "pt"}),
            _small_files(found, companions),
            {
                "made_by": f"mf_qwen3_patch export, format {_FORMAT}",
                "layouts": asdict(found.layouts),
                "max_shard_bytes": max_shard_bytes,
                "source": source_identity([config_path(companions), *found.checkpoint.files]),
            },
        ).write(progress=progress)
    return Exported(written, len(new), found.layouts, found.ignored)


class _Parts:
    """Takes merged matrices apart, each once: its parts are asked for one after the other."""

    def __init__(self, reader: TensorReader) -> None:
        self._reader = reader
        self._matrix = ("", 0)
        self._split: list[Array] = []

    def maker(
        self, parameter: SourceParameter, tensor: TensorInfo, number: int, part: int
    ) -> Callable[[], Iterator[Array]]:
        """Return what makes one part of the matrix with this number, out of the tensor that holds the parameter."""
        return lambda: iter((self._make(parameter, tensor, number, part),))

    def _make(self, parameter: SourceParameter, tensor: TensorInfo, number: int, part: int) -> Array:
        if self._matrix != (parameter.name, number):
            self._split = []
            matrix = self._reader.read(_matrix_of(parameter, tensor, number))
            self._split = parameter.merging.split(matrix, [shape[0] for shape in parameter.parts])
            self._matrix = parameter.name, number
        return self._split[part]


def _matrix_of(parameter: SourceParameter, tensor: TensorInfo, number: int) -> TensorInfo:
    shape = parameter.matrix_shape
    nbytes = prod(shape) * DTYPE_BITS[tensor.dtype] // 8
    return replace(tensor, shape=shape, offset=tensor.offset + number * nbytes, nbytes=nbytes)


def _small_files(source: Source, companions: Path) -> dict[str, bytes]:
    directory = companions if companions.is_dir() else source.checkpoint.directory
    largest = max(source.checkpoint.tensors.values(), key=lambda tensor: tensor.nbytes)
    return {
        **companion_files(directory, [entry.name for entry in directory.iterdir()]),
        CONFIG_NAME: with_dtype(source.config, DTYPE_NAMES[largest.dtype]),
    }
