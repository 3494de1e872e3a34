"""A MindFormers directory becomes a HuggingFace one: the exact inverse of ``to_mindformers``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.companions import companion_files, with_dtype
from mf_qwen3_patch.checkpoint.config import normalise
from mf_qwen3_patch.checkpoint.directory import CONFIG_NAME, Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files import read_bounded
from mf_qwen3_patch.checkpoint.header import DTYPE_NAMES, TensorInfo, inspect_header
from mf_qwen3_patch.checkpoint.kinds import LOADABLE_DTYPES
from mf_qwen3_patch.checkpoint.layout import INFERENCE, LAYOUT_KEY, RANKS_KEY, TRAINING, Layout, blocks_of, split_parts
from mf_qwen3_patch.checkpoint.naming import LM_HEAD, Qwen3Shape, expected_tensors
from mf_qwen3_patch.checkpoint.new_directory import NewDirectory, Written, source_identity
from mf_qwen3_patch.checkpoint.new_files import NewTensor, split_into_files
from mf_qwen3_patch.checkpoint.strict_json import parse_object
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.loading.casting import Array
from mf_qwen3_patch.loading.families import QWEN3, Family
from mf_qwen3_patch.loading.merged import Place, place_of
from mf_qwen3_patch.loading.reading import Files
from mf_qwen3_patch.loading.tensor_bytes import TensorReader
from mf_qwen3_patch.loading.to_mindformers import refuse_nesting, refuse_other_models

__all__ = ["Exported", "Layouts", "export_to_huggingface"]

_FORMAT = 1


@dataclass(frozen=True)
class Layouts:
    """In which layout the merged parameters are; attention and MLP may differ, as two switches of training say.

    Attributes:
        linear_qkv: Of query, key and value.
        linear_fc1: Of gate and up.
    """

    linear_qkv: Layout
    linear_fc1: Layout


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


@dataclass(frozen=True)
class _Source:
    """What is exported: files, config, and what the config implies."""

    checkpoint: Checkpoint
    config: bytes
    shape: Qwen3Shape
    layouts: Layouts
    names: Mapping[str, Place]
    expected: Mapping[str, tuple[int, ...]]

    @cached_property
    def parts(self) -> dict[str, list[tuple[int, ...]]]:
        """Parameter name to the shapes of the tensors that it is made of, in order."""
        parts: dict[str, dict[int, tuple[int, ...]]] = {}
        for name, place in self.names.items():
            parts.setdefault(place.parameter, {})[place.part] = self.expected[name]
        return {parameter: [shapes[part] for part in sorted(shapes)] for parameter, shapes in parts.items()}


def export_to_huggingface(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    layouts: Layouts | None = None,
    config: str | os.PathLike[str] | None = None,
    max_shard_bytes: int | None = None,
    progress: bool = True,
    family: Family = QWEN3,
) -> Exported:
    """Export MindFormers weights.

    Args:
        source: A directory of safetensors files with whole parameters in MindFormers' names; it is only read.
        target: The directory to make; not there yet, or empty. A run that was stopped is continued.
        layouts: In which the source is; None: as its files say, which only files of ``convert`` do.
        config: The model's config.json, or a HuggingFace directory that has it (and its tokenizer); None: the source.
        max_shard_bytes: Of one file; None for no limit.
        progress: Show a progress bar.
        family: The model family.

    Raises:
        CheckpointError: The source cannot be exported rightly; ``target`` is not there.
        FileExistsError: ``target`` is something else already.
        OSError: The disk is too small, full or can't be written.
    """
    root, destination = Path(source), Path(target)
    refuse_nesting(root, destination)
    companions = root if config is None else Path(config)
    found, ignored = _open(root, companions, layouts, family)
    tensors = found.checkpoint.tensors
    with Files(tensor.file for tensor in tensors.values()) as files:
        parts = _Parts(found, TensorReader(files))
        new = [
            NewTensor(name, tensors[place.parameter].dtype, found.expected[name], parts.maker(name))
            for name, place in found.names.items()
        ]
        written = NewDirectory(
            destination,
            split_into_files(new, max_shard_bytes, {"format": "pt"}),
            _small_files(found, companions),
            {
                "made_by": f"mf_qwen3_patch export, format {_FORMAT}",
                "layouts": [found.layouts.linear_qkv, found.layouts.linear_fc1],
                "max_shard_bytes": max_shard_bytes,
                "source": source_identity([_config_path(companions), *found.checkpoint.files]),
            },
        ).write(progress=progress)
    return Exported(written, len(new), found.layouts, ignored)


class _Parts:
    """Takes merged parameters apart, each once: its parts are asked for one after the other."""

    def __init__(self, source: _Source, reader: TensorReader) -> None:
        self._source = source
        self._reader = reader
        self._name = ""
        self._split: list[Array] = []

    def maker(self, name: str) -> Callable[[], Array]:
        return lambda: self._make(self._source.names[name])

    def _make(self, place: Place) -> Array:
        tensor = self._source.checkpoint.tensors[place.parameter]
        if place.merged is None:
            return self._reader.read(tensor)
        if self._name != place.parameter:
            self._name, self._split = "", []
            layout = getattr(self._source.layouts, place.merged)
            blocks = blocks_of(place.merged, layout, self._source.shape)
            rows = [shape[0] for shape in self._source.parts[place.parameter]]
            self._split = split_parts(self._reader.read(tensor), rows, blocks)
            self._name = place.parameter
        return self._split[place.part]


def _open(root: Path, companions: Path, layouts: Layouts | None, family: Family) -> tuple[_Source, tuple[str, ...]]:
    if root.is_dir() and (rank := next(root.glob("rank_[0-9]*"), None)):
        raise _unsupported(
            f"{rank.name} and its like hold the slices of single ranks",
            root,
            file=rank.name,
            expected="files with whole parameters",
            advice="export the directory that was converted without --tp; put a distributed training checkpoint "
            "together first, with mindspore.unified_safetensors",
        )
    config = _read_config(companions)
    raw = parse_object(config, file=CONFIG_NAME, what=CONFIG_NAME, advice="pass the model's own with --config")
    refuse_other_models(raw, companions)
    normalised = normalise(raw)
    checkpoint = open_checkpoint(root, absent_config=raw)
    problems = [*checkpoint.problems, *normalised.problems]
    if problems:
        raise error_for(problems, str(root))
    model_class = family.load(family.inference_class)
    expected = expected_tensors(normalised.shape)
    head = place_of(model_class, LM_HEAD, family).parameter
    if LM_HEAD not in expected and head in checkpoint.tensors:  # convert keeps the one of a tied checkpoint, too
        expected[LM_HEAD] = (normalised.shape.vocab_size, normalised.shape.hidden_size)
    source = _Source(
        checkpoint,
        config,
        normalised.shape,
        _layouts(checkpoint, layouts),
        {name: place_of(model_class, name, family) for name in expected},
        expected,
    )
    ignored = _check(source)
    return source, ignored


def _layouts(checkpoint: Checkpoint, given: Layouts | None) -> Layouts:
    """Say in which layout the files are: as they or the user say, and never by guessing."""
    root = checkpoint.directory
    noted = set()
    for file in checkpoint.files:
        metadata = inspect_header(file).metadata
        noted.add(metadata.get(LAYOUT_KEY))
        if RANKS_KEY in metadata:
            raise _unsupported(
                f"{file.name} holds the slices of one of {metadata[RANKS_KEY]} ranks",
                root,
                file=file.name,
                advice="export the directory that was converted without --tp",
            )
    if noted == {None}:
        if given is None:
            raise _unsupported(
                "nothing says in which layout query, key, value and gate, up are merged: names and shapes are the "
                "same in both, and the wrong one gives weights that load and talk nonsense",
                root,
                file=checkpoint.files[0].name,
                field=LAYOUT_KEY,
                expected="inference or training",
                found="no such metadata",
                advice="say it: --layout training for what MindFormers trained, --layout inference for what was "
                "saved from an inference model",
            )
        return given
    (layout, *others) = sorted(noted, key=str)
    if others or layout not in (INFERENCE, TRAINING):
        raise _unsupported(
            "the files do not agree about their layout",
            root,
            field=LAYOUT_KEY,
            found=", ".join(map(str, [layout, *others])),
            advice="convert the HuggingFace directory again, into an empty place",
        )
    own = Layouts(INFERENCE, INFERENCE) if layout == INFERENCE else Layouts(TRAINING, TRAINING)
    if given not in (None, own):
        problem = Problem(
            ConfigMismatch,
            f"the files say that they are in the {layout} layout, which contradicts the command line",
            file=checkpoint.files[0].name,
            field=LAYOUT_KEY,
            expected=layout,
            found=f"{given.linear_qkv} for attention, {given.linear_fc1} for the MLP" if given else None,
            advice="leave --layout out: the files know best",
        )
        raise error_for([problem], str(root))
    return own


def _check(source: _Source) -> tuple[str, ...]:
    """Compare the files with what the config implies; return what is not of the model."""
    tensors, problems = source.checkpoint.tensors, []
    wanted = source.parts
    for name in wanted:
        tensor, shape = tensors.get(name), _merged_shape(source, name)
        if tensor is None:
            problems.append(
                Problem(
                    IncompleteCheckpoint,
                    f"{name} is in no file",
                    parameter=name,
                    expected=f"a tensor {list(shape)}",
                    advice="pass a directory with all parameters, whole and merged, in MindFormers' names",
                )
            )
        elif tensor.shape != shape or tensor.dtype not in LOADABLE_DTYPES:
            problems.append(_misfit(tensor, shape))
    roots = {name.split(".")[0] for name in wanted}
    unknown = tuple(name for name in tensors if name not in wanted)
    problems += [
        Problem(
            ConfigMismatch,
            f"{name} belongs to a layer or a module that the config does not have",
            file=tensors[name].file.name,
            parameter=name,
            advice=f"pass the {CONFIG_NAME} of this very model: --config",
        )
        for name in unknown
        if name.split(".")[0] in roots
    ]
    if problems:
        raise error_for(problems, str(source.checkpoint.directory))
    return unknown


def _misfit(tensor: TensorInfo, shape: tuple[int, ...]) -> Problem:
    wrong_shape = tensor.shape != shape
    return Problem(
        ConfigMismatch if wrong_shape else UnsupportedCheckpoint,
        f"{tensor.name} has another shape than {CONFIG_NAME} implies"
        if wrong_shape
        else f"{tensor.name} is {tensor.dtype}, which is no dtype of an unquantised model",
        file=tensor.file.name,
        parameter=tensor.name,
        expected=list(shape) if wrong_shape else ", ".join(sorted(LOADABLE_DTYPES)),
        found=list(tensor.shape) if wrong_shape else tensor.dtype,
        advice=f"pass the {CONFIG_NAME} of this very model: --config"
        if wrong_shape
        else "export the unquantised weights",
    )


def _merged_shape(source: _Source, parameter: str) -> tuple[int, ...]:
    shapes = source.parts[parameter]
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def _config_path(companions: Path) -> Path:
    return companions / CONFIG_NAME if companions.is_dir() else companions


def _read_config(companions: Path) -> bytes:
    path = _config_path(companions)
    if path.exists() or not companions.is_dir():
        return read_bounded(path, path.name)
    problem = Problem(
        IncompleteCheckpoint,
        f"{CONFIG_NAME} is not there, and the number of heads is in no tensor",
        file=CONFIG_NAME,
        advice=f"pass the model's {CONFIG_NAME}, or its HuggingFace directory: --config",
    )
    raise error_for([problem], str(companions))


def _small_files(source: _Source, companions: Path) -> dict[str, bytes]:
    directory = companions if companions.is_dir() else source.checkpoint.directory
    largest = max(source.checkpoint.tensors.values(), key=lambda tensor: tensor.nbytes)
    return {
        **companion_files(directory, [entry.name for entry in directory.iterdir()]),
        CONFIG_NAME: with_dtype(source.config, DTYPE_NAMES[largest.dtype]),
    }


def _unsupported(summary: str, root: Path, **details: Any) -> Exception:
    return error_for([Problem(UnsupportedCheckpoint, summary, **details)], str(root))
