"""The source of an export: a MindFormers directory, compared with the config of its model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.checks.quantization import LOADABLE_DTYPES
from mf_qwen3_patch.checkpoint.checks.relocated_experts import relocated_experts
from mf_qwen3_patch.checkpoint.checks.unsupported import other_model
from mf_qwen3_patch.checkpoint.config.normalize import NormalizedConfig, normalize
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.reading.read_file import read_bounded
from mf_qwen3_patch.checkpoint.reading.strict_json import parse_object
from mf_qwen3_patch.convert.detect_layout import Layouts, layouts_of
from mf_qwen3_patch.convert.whole_parameters import WholeParameter, whole_parameters
from mf_qwen3_patch.errors import (
    CheckpointError,
    ConfigMismatch,
    IncompleteCheckpoint,
    Problem,
    UnsupportedCheckpoint,
    error_for,
)
from mf_qwen3_patch.families.family import is_training_state
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING
from mf_qwen3_patch.families.registry import find_family, is_known
from mf_qwen3_patch.loading.transfer.name_mapping import of_another_family, place_of

_OWN_CONFIG = f"pass the {CONFIG_NAME} of this very model: --config"


@dataclass(frozen=True)
class Source:
    """The source: its files, config.json as it is, and all parameters that it implies, there in these shapes."""

    checkpoint: Checkpoint
    config: bytes
    layouts: Layouts
    parameters: tuple[WholeParameter, ...]
    ignored: tuple[str, ...]  # tensors that are not of the model


def open_source(root: Path, companions: Path, layouts: Layouts | None) -> Source:
    """Read the headers of a MindFormers directory, and compare them with the config; raises ``CheckpointError``.

    ``companions`` is the config.json, or a directory that has it; ``layouts`` is what the user says of the layout.
    """
    if root.is_dir() and (rank := next(root.glob("rank_[0-9]*"), None)):
        summary, whole = f"{rank.name} and its like hold the slices of single ranks", "files with whole parameters"
        together = "put a distributed training checkpoint together first, with mindspore.unified_safetensors"
        advice = f"export the directory that was converted without --tp; {together}"
        _refuse([Problem(UnsupportedCheckpoint, summary, rank.name, expected=whole, advice=advice)], root)
    config = _read_config(companions)
    raw = parse_object(config, file=CONFIG_NAME, what=CONFIG_NAME, advice="pass the model's own with --config")
    named = find_family(raw)
    if unknown := other_model(raw, named):
        _refuse([unknown], companions)
    normalized = normalize(raw, family=named)
    checkpoint = open_checkpoint(root, absent_config=raw)
    problems = (*checkpoint.problems, *normalized.problems)
    _refuse(problems or _of_another_family(normalized, checkpoint) or _beyond_the_files(normalized, checkpoint), root)
    _refuse(_of_huggingface(checkpoint), root)
    if relocated := relocated_experts(checkpoint):
        _refuse([relocated], root)
    layouts = layouts_of(checkpoint, layouts)
    family, dims = normalized.family, normalized.dims
    head = place_of(family.load(family.inference_class), family.head, family).parameter
    shape = (dims.vocab_size, dims.hidden_size) if head in checkpoint.tensors else None
    parameters = whole_parameters(family, dims, layouts, shape)
    names = {parameter.name for parameter in parameters}
    others = tuple(name for name in checkpoint.tensors if name not in names)
    _refuse(_misfits(parameters, checkpoint, others, layouts), root)
    return Source(checkpoint, config, layouts, parameters, others)


def _refuse(problems: Sequence[Problem], subject: Path) -> None:
    if problems:
        raise error_for(problems, str(subject))


def _about(tensor: TensorInfo, kind: type[CheckpointError], summary: str, advice: str, **values: Any) -> Problem:
    return Problem(kind, summary, tensor.file.name, parameter=tensor.name, **values, advice=advice)


def _of_huggingface(checkpoint: Checkpoint) -> tuple[Problem, ...]:
    """Refuse a directory that is HuggingFace's already, by the names of its tensors."""
    names = [name for name in checkpoint.tensors if is_known(name)]
    if not names:
        return ()
    summary = (
        "the tensors have HuggingFace's names: this is a HuggingFace directory already, there is nothing to export"
    )
    expected, found = "MindFormers' names, e.g. embedding.word_embeddings.weight", f"{len(names)} names of HuggingFace"
    advice = "name the directory that `convert` or MindFormers wrote, or use this one as it is"
    file = checkpoint.tensors[names[0]].file.name
    return (Problem(UnsupportedCheckpoint, summary, file, names[0], expected=expected, found=found, advice=advice),)


def _of_another_family(config: NormalizedConfig, checkpoint: Checkpoint) -> tuple[Problem, ...]:
    said, tensors = config.family, checkpoint.tensors
    if (found := of_another_family(tensors.keys(), said)) is None:
        return ()
    name, true = found
    summary = f"{CONFIG_NAME} describes {said.title}, but the parameters are those of {true.title}"
    values = {"field": "model_type", "expected": true.model_type, "found": said.model_type}
    return (_about(tensors[name], UnsupportedCheckpoint, summary, _OWN_CONFIG, **values),)


def _beyond_the_files(config: NormalizedConfig, checkpoint: Checkpoint) -> tuple[Problem, ...]:
    """Refuse more layers or experts than the files can hold, before there is a name for each."""
    longest = max((max(tensor.shape, default=0) for tensor in checkpoint.tensors.values()), default=0)
    problems = []
    for field, limit in {"num_hidden_layers": len(checkpoint.tensors), "num_experts": longest}.items():
        said = config.values.get(field, 0)
        if said > limit:
            summary = f"{CONFIG_NAME} says {field}: {said}, which is more than the files can hold"
            where = {"file": CONFIG_NAME, "field": field, "expected": f"at most {limit}"}
            problems.append(Problem(ConfigMismatch, summary, **where, found=said, advice=_OWN_CONFIG))
    return tuple(problems)


def _misfits(
    parameters: tuple[WholeParameter, ...], checkpoint: Checkpoint, others: Collection[str], layouts: Layouts
) -> tuple[Problem, ...]:
    """Compare the files with what the config implies, and the layout that was named with the shape of experts."""
    tensors, said = checkpoint.tensors, layouts.experts
    problems = []
    for parameter in parameters:
        name, fusion, shape = parameter.name, parameter.fusion, list(parameter.fusion.shape)
        tensor = tensors.get(name)
        if tensor is None:
            summary, wanted = f"{name} is in no file", f"a tensor {shape}"
            advice = "pass a directory with all parameters, whole and merged, in MindFormers' names"
            problems.append(Problem(IncompleteCheckpoint, summary, parameter=name, expected=wanted, advice=advice))
        elif (found := list(tensor.shape)) != shape:
            summary, advice = f"{name} has another shape than {CONFIG_NAME} implies", _OWN_CONFIG
            if fusion.experts and tensor.shape == replace(fusion, flat=not fusion.flat).shape:
                # Experts alone show the layout. With another one nothing else can be told.
                true = TRAINING if said == INFERENCE else INFERENCE
                summary = f"{name} has the shape of the {true} layout, but is said to be in the {said} layout"
                advice = f"say --layout {true}, if that is how the other parameters are merged, too"
                return (_about(tensor, ConfigMismatch, summary, advice, expected=shape, found=found),)
            problems.append(_about(tensor, ConfigMismatch, summary, advice, expected=shape, found=found))
        elif tensor.dtype not in LOADABLE_DTYPES:
            summary = f"{name} is {tensor.dtype}, which is no dtype of an unquantized model"
            dtypes = {"expected": ", ".join(sorted(LOADABLE_DTYPES)), "found": tensor.dtype}
            problems.append(_about(tensor, UnsupportedCheckpoint, summary, "export the unquantized weights", **dtypes))
    roots = {parameter.name.split(".")[0] for parameter in parameters}
    for name in others:
        if name.split(".")[0] in roots and not is_training_state(name):
            summary = f"{name} belongs to a layer or a module that the config does not have"
            problems.append(_about(tensors[name], ConfigMismatch, summary, _OWN_CONFIG))
    return tuple(problems)


def config_path(companions: Path) -> Path:
    """Return where config.json is: ``companions`` itself, or in that directory."""
    return companions / CONFIG_NAME if companions.is_dir() else companions


def _read_config(companions: Path) -> bytes:
    path = config_path(companions)
    if not path.exists() and companions.is_dir():
        summary = f"{CONFIG_NAME} is not there, and the number of heads is in no tensor"
        advice = f"pass the model's {CONFIG_NAME}, or its HuggingFace directory: --config"
        _refuse([Problem(IncompleteCheckpoint, summary, CONFIG_NAME, advice=advice)], companions)
    return read_bounded(path, path.name)
