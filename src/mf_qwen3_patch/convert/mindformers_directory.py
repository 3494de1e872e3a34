"""The source of an export: a MindFormers directory, compared with the config of its model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.unsupported import LOADABLE_DTYPES, other_model
from mf_qwen3_patch.checkpoint.config.normalize import NormalizedConfig, normalize
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import CONFIG_NAME
from mf_qwen3_patch.checkpoint.files.read_file import read_bounded
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.files.strict_json import parse_object
from mf_qwen3_patch.convert.detect_layout import Layouts, layouts_of
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING, Fusion
from mf_qwen3_patch.families.registry import find_family
from mf_qwen3_patch.families.tensors import ModelDims
from mf_qwen3_patch.loading.transfer.name_mapping import PartNames, group_by_parameter, of_another_family, place_of

_OWN_CONFIG = f"pass the {CONFIG_NAME} of this very model: --config"


@dataclass(frozen=True)
class SourceParameter:
    """A parameter of the source: the HuggingFace tensors that it is made of, and how they lie in it."""

    parts: PartNames
    fusion: Fusion

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.parts.parameter


@dataclass(frozen=True)
class Source:
    """What is exported: files, config.json as it is, and all parameters that it implies, there in these shapes.

    ``ignored`` are tensors that are not of the model, as an optimizer's state is.
    """

    checkpoint: Checkpoint
    config: bytes
    layouts: Layouts
    parameters: tuple[SourceParameter, ...]
    ignored: tuple[str, ...]


def open_source(root: Path, companions: Path, layouts: Layouts | None) -> Source:
    """Read the headers of a MindFormers directory, and compare them with the config.

    The weights are whole and merged; ``companions`` is the config.json, or a directory that has it; ``layouts`` what
    the user says of the layout, None for nothing.

    Raises:
        CheckpointError: The source cannot be exported rightly.
    """
    if root.is_dir() and (rank := next(root.glob("rank_[0-9]*"), None)):
        summary, whole = f"{rank.name} and its like hold the slices of single ranks", "files with whole parameters"
        advice = (
            "export the directory that was converted without --tp; put a distributed training checkpoint together "
            "first, with mindspore.unified_safetensors"
        )
        problem = Problem(UnsupportedCheckpoint, summary, file=rank.name, expected=whole, advice=advice)
        raise error_for([problem], str(root))
    config = _read_config(companions)
    raw = parse_object(config, file=CONFIG_NAME, what=CONFIG_NAME, advice="pass the model's own with --config")
    named = find_family(raw)
    if unknown := other_model(raw, named):
        raise error_for([unknown], str(companions))
    normalized = normalize(raw, family=named)
    checkpoint = open_checkpoint(root, absent_config=raw)
    family = normalized.family
    problems = [*checkpoint.problems, *normalized.problems]
    problems = problems or _of_another_family(checkpoint, family) or _beyond_the_files(normalized, checkpoint)
    if problems:
        raise error_for(problems, str(root))
    layouts = layouts_of(checkpoint, layouts)
    parameters = _parameters(checkpoint, normalized.dims, layouts, family)
    problems = _experts_in_another_layout(parameters, checkpoint, layouts) or _misfits(parameters, checkpoint)
    if problems:
        raise error_for(problems, str(root))
    wanted = {parameter.name for parameter in parameters}
    ignored = tuple(name for name in checkpoint.tensors if name not in wanted)
    return Source(checkpoint, config, layouts, parameters, ignored)


def _of_another_family(checkpoint: Checkpoint, family: Family) -> list[Problem]:
    found = of_another_family(checkpoint.tensors.keys(), family)
    if found is None:
        return []
    said, true = family, found[1]
    summary = f"{CONFIG_NAME} describes {said.title}, but the parameters are those of {true.title}"
    where = {"file": checkpoint.tensors[found[0]].file.name, "parameter": found[0], "field": "model_type"}
    values = {"expected": true.model_type, "found": said.model_type}
    return [Problem(UnsupportedCheckpoint, summary, **where, **values, advice=_OWN_CONFIG)]


def _beyond_the_files(config: NormalizedConfig, checkpoint: Checkpoint) -> list[Problem]:
    """Refuse more layers or experts than the files can hold, before there is a name for each."""
    longest = max((max(tensor.shape, default=0) for tensor in checkpoint.tensors.values()), default=0)
    limits = {"num_hidden_layers": len(checkpoint.tensors), "num_experts": longest}
    problems = []
    for field, limit in limits.items():
        said = config.values.get(field, 0)
        if said > limit:
            summary = f"{CONFIG_NAME} says {field}: {said}, which is more than the files can hold"
            where = {"file": CONFIG_NAME, "field": field, "expected": f"at most {limit}"}
            problems.append(Problem(ConfigMismatch, summary, **where, found=said, advice=_OWN_CONFIG))
    return problems


def _parameters(
    checkpoint: Checkpoint, dims: ModelDims, layouts: Layouts, family: Family
) -> tuple[SourceParameter, ...]:
    model_class = family.load(family.inference_class)
    expected = family.expected_tensors(dims)
    head = place_of(model_class, family.head, family).parameter
    if family.head not in expected and head in checkpoint.tensors:  # convert keeps the one of a tied checkpoint, too
        expected[family.head] = (dims.vocab_size, dims.hidden_size)
    found = []
    for parts in group_by_parameter(model_class, expected, family):
        shapes = tuple(expected[name] for name in parts.names[0])
        fused = parts.fused
        fusion = Fusion(shapes) if fused is None else fused.layout(layouts.of(fused), shapes, dims)
        found.append(SourceParameter(parts, fusion))
    return tuple(found)


def _experts_in_another_layout(
    parameters: tuple[SourceParameter, ...], checkpoint: Checkpoint, layouts: Layouts
) -> list[Problem]:
    """Compare the layout that was named with the shape of experts, the only parameters that show it."""
    said = layouts.experts
    true = TRAINING if said == INFERENCE else INFERENCE
    for parameter in parameters:
        tensor = checkpoint.tensors.get(parameter.name)
        fusion = parameter.fusion
        if fusion.experts and tensor is not None and tensor.shape == replace(fusion, flat=not fusion.flat).shape:
            summary = f"{tensor.name} has the shape of the {true} layout, but is said to be in the {said} layout"
            advice = f"say --layout {true}, if that is how the other parameters are merged, too"
            return [_of_another_shape(summary, tensor, parameter, advice)]
    return []


def _misfits(parameters: tuple[SourceParameter, ...], checkpoint: Checkpoint) -> list[Problem]:
    """Compare the files with what the config implies."""
    tensors = checkpoint.tensors
    problems = []
    for parameter in parameters:
        tensor = tensors.get(parameter.name)
        if tensor is None:
            summary, shape = f"{parameter.name} is in no file", f"a tensor {list(parameter.fusion.shape)}"
            advice = "pass a directory with all parameters, whole and merged, in MindFormers' names"
            problems.append(
                Problem(IncompleteCheckpoint, summary, parameter=parameter.name, expected=shape, advice=advice)
            )
        elif tensor.shape != parameter.fusion.shape or tensor.dtype not in LOADABLE_DTYPES:
            problems.append(_misfit(tensor, parameter))
    wanted = {parameter.name for parameter in parameters}
    roots = {name.split(".")[0] for name in wanted}
    for name, tensor in tensors.items():
        if name not in wanted and name.split(".")[0] in roots:
            summary, file = f"{name} belongs to a layer or a module that the config does not have", tensor.file.name
            problems.append(Problem(ConfigMismatch, summary, file=file, parameter=name, advice=_OWN_CONFIG))
    return problems


def _misfit(tensor: TensorInfo, parameter: SourceParameter) -> Problem:
    if tensor.shape != parameter.fusion.shape:
        summary = f"{tensor.name} has another shape than {CONFIG_NAME} implies"
        return _of_another_shape(summary, tensor, parameter, _OWN_CONFIG)
    summary = f"{tensor.name} is {tensor.dtype}, which is no dtype of an unquantized model"
    dtypes = {"expected": ", ".join(sorted(LOADABLE_DTYPES)), "found": tensor.dtype}
    where = {"file": tensor.file.name, "parameter": tensor.name}
    return Problem(UnsupportedCheckpoint, summary, **where, **dtypes, advice="export the unquantized weights")


def _of_another_shape(summary: str, tensor: TensorInfo, parameter: SourceParameter, advice: str) -> Problem:
    where = {"file": tensor.file.name, "parameter": tensor.name}
    expected, found = list(parameter.fusion.shape), list(tensor.shape)
    return Problem(ConfigMismatch, summary, **where, expected=expected, found=found, advice=advice)


def config_path(companions: Path) -> Path:
    """Return where config.json is: ``companions`` itself, or in that directory."""
    return companions / CONFIG_NAME if companions.is_dir() else companions


def _read_config(companions: Path) -> bytes:
    path = config_path(companions)
    if path.exists() or not companions.is_dir():
        return read_bounded(path, path.name)
    summary = f"{CONFIG_NAME} is not there, and the number of heads is in no tensor"
    advice = f"pass the model's {CONFIG_NAME}, or its HuggingFace directory: --config"
    problem = Problem(IncompleteCheckpoint, summary, file=CONFIG_NAME, advice=advice)
    raise error_for([problem], str(companions))
