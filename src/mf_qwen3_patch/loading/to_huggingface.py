"""A MindFormers directory becomes a HuggingFace one: the exact inverse of ``to_mindformers``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.companions import companion_files, with_dtype
from mf_qwen3_patch.checkpoint.config import NormalisedConfig, normalise
from mf_qwen3_patch.checkpoint.directory import CONFIG_NAME, Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.fields import SCHEMAS
from mf_qwen3_patch.checkpoint.files import read_bounded
from mf_qwen3_patch.checkpoint.header import DTYPE_BITS, DTYPE_NAMES, TensorInfo, inspect_header
from mf_qwen3_patch.checkpoint.kinds import LOADABLE_DTYPES, other_model
from mf_qwen3_patch.checkpoint.layout import (
    INFERENCE,
    LAYOUT_KEY,
    RANKS_KEY,
    TRAINING,
    Layout,
    Merging,
    Shape,
    merging_of,
)
from mf_qwen3_patch.checkpoint.naming import LM_HEAD, Qwen3Shape, expected_tensors
from mf_qwen3_patch.checkpoint.new_directory import NewDirectory, Written, source_identity
from mf_qwen3_patch.checkpoint.new_files import NewTensor, split_into_files
from mf_qwen3_patch.checkpoint.strict_json import parse_object
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.loading.casting import Array
from mf_qwen3_patch.loading.families import FAMILIES, Family
from mf_qwen3_patch.loading.merged import MergedParameter, merged_parameters, of_another_family, place_of
from mf_qwen3_patch.loading.reading import Files
from mf_qwen3_patch.loading.tensor_bytes import TensorReader
from mf_qwen3_patch.loading.to_mindformers import refuse_nesting

__all__ = ["Exported", "Layouts", "export_to_huggingface"]

_FORMAT = 1


@dataclass(frozen=True)
class Layouts:
    """In which layout the merged parameters are; attention and MLP may differ, as two switches of training say.

    Attributes:
        linear_qkv: Of query, key and value.
        linear_fc1: Of gate and up in a dense model.
        experts: Of all experts' matrices.
    """

    linear_qkv: Layout
    linear_fc1: Layout
    experts: Layout

    @classmethod
    def all_in(cls, layout: Layout) -> Layouts:
        """Return the layouts of files where all is in one."""
        return cls(layout, layout, layout)


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
class _Parameter:
    """One parameter of the source.

    Attributes:
        merged: Which HuggingFace tensors it is made of.
        merging: How.
        parts: The shapes of the parts of one matrix.
    """

    merged: MergedParameter
    merging: Merging
    parts: tuple[Shape, ...]

    @property
    def name(self) -> str:
        return self.merged.name

    @property
    def matrix_shape(self) -> Shape:
        return self.merging.matrix_shape(self.parts)

    @property
    def shape(self) -> Shape:
        return self.merging.parameter_shape(self.matrix_shape, len(self.merged.matrices))

    @property
    def other_shape(self) -> Shape:
        """The shape in the other layout: another one for experts only."""
        other = replace(self.merging, flat=not self.merging.flat)
        return other.parameter_shape(self.matrix_shape, len(self.merged.matrices))


@dataclass(frozen=True)
class _Source:
    """What is exported: files, config, and what the config implies."""

    checkpoint: Checkpoint
    config: bytes
    layouts: Layouts
    parameters: tuple[_Parameter, ...]


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
    found, ignored = _open(root, companions, layouts)
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
                "source": source_identity([_config_path(companions), *found.checkpoint.files]),
            },
        ).write(progress=progress)
    return Exported(written, len(new), found.layouts, ignored)


class _Parts:
    """Takes merged matrices apart, each once: its parts are asked for one after the other."""

    def __init__(self, reader: TensorReader) -> None:
        self._reader = reader
        self._matrix = ("", 0)
        self._split: list[Array] = []

    def maker(self, parameter: _Parameter, tensor: TensorInfo, number: int, part: int) -> Callable[[], tuple[Array]]:
        """Return what makes one part of the matrix with this number, out of the tensor that holds the parameter."""
        return lambda: (self._make(parameter, tensor, number, part),)

    def _make(self, parameter: _Parameter, tensor: TensorInfo, number: int, part: int) -> Array:
        if self._matrix != (parameter.name, number):
            self._split = []
            matrix = self._reader.read(_matrix_of(parameter, tensor, number))
            self._split = parameter.merging.split(matrix, [shape[0] for shape in parameter.parts])
            self._matrix = parameter.name, number
        return self._split[part]


def _matrix_of(parameter: _Parameter, tensor: TensorInfo, number: int) -> TensorInfo:
    shape = parameter.matrix_shape
    nbytes = prod(shape) * DTYPE_BITS[tensor.dtype] // 8
    return replace(tensor, shape=shape, offset=tensor.offset + number * nbytes, nbytes=nbytes)


def _open(root: Path, companions: Path, layouts: Layouts | None) -> tuple[_Source, tuple[str, ...]]:
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
    if problem := other_model(raw):
        raise error_for([problem], str(companions))
    normalised = normalise(raw)
    checkpoint = open_checkpoint(root, absent_config=raw)
    family = FAMILIES[normalised.schema.model_type]
    problems = [*checkpoint.problems, *normalised.problems]
    problems = problems or _of_another_family(checkpoint, family) or _beyond_the_files(normalised, checkpoint)
    if problems:
        raise error_for(problems, str(root))
    layouts = _layouts(checkpoint, layouts)
    source = _Source(checkpoint, config, layouts, _parameters(checkpoint, normalised.shape, layouts, family))
    _check_layout_of_experts(source)
    return source, _check(source)


def _of_another_family(checkpoint: Checkpoint, family: Family) -> list[Problem]:
    found = of_another_family(checkpoint.tensors.keys(), family)
    if found is None:
        return []
    said, true = SCHEMAS[family.model_type], SCHEMAS[found[1].model_type]
    return [
        Problem(
            UnsupportedCheckpoint,
            f"{CONFIG_NAME} describes {said.title}, but the parameters are those of {true.title}",
            file=checkpoint.tensors[found[0]].file.name,
            parameter=found[0],
            field="model_type",
            expected=true.model_type,
            found=said.model_type,
            advice=f"pass the {CONFIG_NAME} of this very model: --config",
        )
    ]


def _beyond_the_files(config: NormalisedConfig, checkpoint: Checkpoint) -> list[Problem]:
    """Refuse more layers or experts than the files can hold, before there is a name for each."""
    longest = max((max(tensor.shape, default=0) for tensor in checkpoint.tensors.values()), default=0)
    limits = {"num_hidden_layers": len(checkpoint.tensors), "num_experts": longest}
    return [
        Problem(
            ConfigMismatch,
            f"{CONFIG_NAME} says {field}: {config.values[field]}, which is more than the files can hold",
            file=CONFIG_NAME,
            field=field,
            expected=f"at most {limit}",
            found=config.values[field],
            advice=f"pass the {CONFIG_NAME} of this very model: --config",
        )
        for field, limit in limits.items()
        if config.values.get(field, 0) > limit
    ]


def _parameters(checkpoint: Checkpoint, shape: Qwen3Shape, layouts: Layouts, family: Family) -> tuple[_Parameter, ...]:
    model_class = family.load(family.inference_class)
    expected = expected_tensors(shape)
    head = place_of(model_class, LM_HEAD, family).parameter
    if LM_HEAD not in expected and head in checkpoint.tensors:  # convert keeps the one of a tied checkpoint, too
        expected[LM_HEAD] = (shape.vocab_size, shape.hidden_size)
    return tuple(
        _Parameter(
            merged,
            merging_of(merged.element, _layout_of(merged, layouts), shape, experts=merged.experts),
            tuple(expected[name] for name in merged.matrices[0]),
        )
        for merged in merged_parameters(model_class, expected, family)
    )


def _layout_of(merged: MergedParameter, layouts: Layouts) -> Layout:
    if merged.element is None:
        return INFERENCE  # one tensor is the same in both
    layout: Layout = getattr(layouts, "experts" if merged.experts else merged.element)
    return layout


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
    own = Layouts.all_in(INFERENCE if layout == INFERENCE else TRAINING)
    if given not in (None, own):
        problem = Problem(
            ConfigMismatch,
            f"the files say that they are in the {layout} layout, which contradicts the command line",
            file=checkpoint.files[0].name,
            field=LAYOUT_KEY,
            expected=layout,
            found=", ".join(f"{name}: {value}" for name, value in asdict(given).items()) if given else None,
            advice="leave --layout out: the files know best",
        )
        raise error_for([problem], str(root))
    return own


def _check_layout_of_experts(source: _Source) -> None:
    """Compare the layout that was named with the shape of experts, the only parameters that show it."""
    said = source.layouts.experts
    true = TRAINING if said == INFERENCE else INFERENCE
    for parameter in source.parameters:
        tensor = source.checkpoint.tensors.get(parameter.name)
        if parameter.merged.experts and tensor is not None and tensor.shape == parameter.other_shape:
            problem = Problem(
                ConfigMismatch,
                f"{tensor.name} has the shape of the {true} layout, but is said to be in the {said} layout",
                file=tensor.file.name,
                parameter=tensor.name,
                expected=list(parameter.shape),
                found=list(tensor.shape),
                advice=f"say --layout {true}, if that is how the other parameters are merged, too",
            )
            raise error_for([problem], str(source.checkpoint.directory))


def _check(source: _Source) -> tuple[str, ...]:
    """Compare the files with what the config implies; return what is not of the model."""
    tensors, problems = source.checkpoint.tensors, []
    for parameter in source.parameters:
        name, shape = parameter.name, parameter.shape
        tensor = tensors.get(name)
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
        elif tensor.shape != parameter.shape or tensor.dtype not in LOADABLE_DTYPES:
            problems.append(_misfit(tensor, parameter))
    wanted = {parameter.name for parameter in source.parameters}
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


def _misfit(tensor: TensorInfo, parameter: _Parameter) -> Problem:
    wrong_shape = tensor.shape != parameter.shape
    return Problem(
        ConfigMismatch if wrong_shape else UnsupportedCheckpoint,
        f"{tensor.name} has another shape than {CONFIG_NAME} implies"
        if wrong_shape
        else f"{tensor.name} is {tensor.dtype}, which is no dtype of an unquantised model",
        file=tensor.file.name,
        parameter=tensor.name,
        expected=list(parameter.shape) if wrong_shape else ", ".join(sorted(LOADABLE_DTYPES)),
        found=list(tensor.shape) if wrong_shape else tensor.dtype,
        advice=f"pass the {CONFIG_NAME} of this very model: --config"
        if wrong_shape
        else "export the unquantised weights",
    )


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
