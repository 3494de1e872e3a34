"""Tensors that are missing, misshapen, or asked for by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mf_qwen3_patch.checkpoint.checks.inferred_dims import Evidence
from mf_qwen3_patch.checkpoint.config.normalize import NormalizedConfig
from mf_qwen3_patch.checkpoint.config.overrides import Overridden
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import (
    CheckpointError,
    ConfigMismatch,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    Problem,
)
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.tensors import (
    Axis,
    is_expert_role,
    names_of_role,
    parse_name,
    shape_of,
)

_COMPARED_BYTES = 16 * 1024 * 1024


def missing_tensors(checkpoint: Checkpoint, config: NormalizedConfig, evidence: Evidence) -> list[Problem]:
    """Report the tensors that the model needs and no file holds, one problem per role.

    Tensors that went with a missing or damaged file are that file's problem, not listed again.
    """
    known = checkpoint.tensors.keys() | checkpoint.lost
    shape, family = config.dims, config.family
    if checkpoint.lost_unknown:
        return []
    if not any(family.axes_of(name) is not None for name in known):
        return [_nothing_known(checkpoint, family)]
    problems: list[Problem] = []
    for name in family.outer_tensors:
        if name in known or (name == family.head and shape.tie_word_embeddings):
            continue
        if name == family.head and family.embedding in known:
            problems.append(_no_head(checkpoint, config))
        else:
            problems.append(_missing([name], "the model needs"))
    # Where most are missing, some of their names are enough: a config may claim billions of experts.
    experts = min(evidence.sizes(shape)["num_experts"], 2 * len(evidence.experts) + 1)
    if not evidence.layers:
        names = _names_of_layer(0, family, experts)
        problems.append(_missing(names[:1], "no layer has tensors", count=shape.num_hidden_layers * len(names)))
    # Beyond the last layer with tensors it is num_hidden_layers that is wrong, which is reported as such.
    last = min(shape.num_hidden_layers, evidence.num_hidden_layers)
    gaps = [layer for layer in range(last) if layer not in evidence.layers]
    if gaps:
        named = ", ".join(str(layer) for layer in gaps[:10]) + (", ..." if len(gaps) > 10 else "")
        names = _names_of_layer(gaps[0], family, experts)
        subject = f"layers {named} have" if len(gaps) > 1 else f"layer {named} has"
        text = f"{subject} no tensors at all"
        problems.append(_missing(names[:1], text, count=len(gaps) * len(names)))
    missing: dict[str, list[str]] = {}
    for role in family.layer_tensors:
        # An expert is missed once, not once for each of its tensors.
        kind = "experts" if is_expert_role(role) else role
        for layer in sorted(evidence.layers):
            if layer < last:
                names = [name for name in names_of_role(layer, role, experts) if name not in known]
                missing.setdefault(kind, []).extend(names)
    return problems + [
        _missing(names, f"{_whose(names)} needs" if kind == "experts" else "the model needs")
        for kind, names in missing.items()
        if names
    ]


def _names_of_layer(layer: int, family: Family, experts: int) -> list[str]:
    return [name for role in family.layer_tensors for name in names_of_role(layer, role, experts)]


def _whose(names: list[str]) -> str:
    """Say which expert the tensors belong to, if it is only one."""
    owners = {(name.layer, name.expert) for name in map(parse_name, names)}
    if len(owners) > 1:
        return f"the model, among its experts ({len(owners)} of them are not whole),"
    ((layer, expert),) = owners
    return f"expert {expert} of layer {layer}"


def _nothing_known(checkpoint: Checkpoint, family: Family) -> Problem:
    first = next(iter(checkpoint.tensors), None)
    return Problem(
        IncompleteCheckpoint,
        "none of the tensors has a name that Qwen3 uses" if first else "the weight files hold no tensors",
        file=", ".join(path.name for path in checkpoint.files[:3]) or None,
        tensor=family.embedding,
        expected=f"{family.embedding} and the others of Qwen3",
        found=f"{len(checkpoint.tensors)} tensors" + (f", the first named {first[:80]}" if first else ""),
        advice="download the checkpoint again, or save it with HuggingFace's save_pretrained()",
    )


def _missing(names: list[str], why: str, count: int | None = None) -> Problem:
    count = len(names) if count is None else count
    tensors = f"{count} tensors" if count > 1 else names[0]
    verb = "are" if count > 1 else "is"
    summary = f"{tensors} that {why} {verb} in no file" if why.endswith("needs") else f"{why}: {tensors} missing"
    return Problem(
        IncompleteCheckpoint,
        summary,
        file="all .safetensors files",
        tensor=names[0],
        expected=f"{count} tensor{'s' if count > 1 else ''}",
        found="none",
        advice="download the checkpoint again; if it was saved by a training script, save all parameters",
    )


def _no_head(checkpoint: Checkpoint, config: NormalizedConfig) -> Problem:
    head, embedding = config.family.head, checkpoint.tensors.get(config.family.embedding)
    says = (
        "has no tie_word_embeddings, which defaults to false"
        if "tie_word_embeddings" in config.absent
        else ("says tie_word_embeddings: false")
    )
    return Problem(
        ConfigMismatch,
        f"the config {says}, but the weights have no {head}: every token would come out as 0",
        file="config.json" if embedding is None else embedding.file.name,
        tensor=head,
        field="tie_word_embeddings",
        expected=f"{head}, or tie_word_embeddings: true",
        found=f"tie_word_embeddings: false without {head}",
        advice="set tie_word_embeddings: true if the model ties them (Qwen3 up to 4B does); otherwise the "
        f"file with {head} is missing",
    )


def misshapen_tensors(checkpoint: Checkpoint, config: NormalizedConfig, evidence: Evidence) -> list[Problem]:
    """Report tensors whose shape differs from the others', one problem per role and shape.

    The yardstick is what most tensors show, so a wrong config field does not come up again here.
    """
    sizes = evidence.sizes(config.dims)
    groups: dict[tuple[str, tuple[int, ...]], list[tuple[TensorInfo, tuple[Axis, ...]]]] = {}
    for info, axes in _of_another_shape(checkpoint, config, sizes):
        groups.setdefault((parse_name(info.name).role, info.shape), []).append((info, axes))
    problems = []
    for infos in groups.values():
        info, axes = infos[0]
        others = f" (and {len(infos) - 1} more of its kind)" if len(infos) > 1 else ""
        problems.append(
            Problem(
                CorruptCheckpoint,
                f"{info.name}{others} has another shape than the rest of the weights imply",
                file=info.file.name,
                tensor=info.name,
                expected=f"{[sizes[axis] for axis in axes]} ({', '.join(axes)})",
                found=f"{list(info.shape)}",
                advice="download the file again; if the model was pruned or edited, its shapes must agree",
            )
        )
    return problems


@dataclass(frozen=True)
class Misfit:
    """A tensor whose shape is not the one that the config asks for.

    Attributes:
        name: Its HuggingFace name.
        found: Its shape.
        wanted: The config's.
    """

    name: str
    found: tuple[int, ...]
    wanted: tuple[int, ...]

    def __str__(self) -> str:
        """Return the name and both shapes."""
        return f"{self.name} is {list(self.found)} instead of {list(self.wanted)}"


def misfits(checkpoint: Checkpoint, config: NormalizedConfig) -> tuple[Misfit, ...]:
    """Return the tensors whose shape is not the config's, of those that the config asks for."""
    sizes = config.dims.axis_sizes()
    return tuple(
        Misfit(info.name, info.shape, shape_of(axes, sizes))
        for info, axes in _of_another_shape(checkpoint, config, sizes)
    )


def _of_another_shape(
    checkpoint: Checkpoint, config: NormalizedConfig, sizes: Mapping[Axis, int]
) -> Iterator[tuple[TensorInfo, tuple[Axis, ...]]]:
    """Yield the tensors that the config asks for, but not in the shape that ``sizes`` imply; with their axes."""
    dims, family = config.dims, config.family
    for name, info in checkpoint.tensors.items():
        axes = _axes(name, family, sizes["num_experts"])
        layer = parse_name(name).layer
        if axes is None or (name == family.head and dims.tie_word_embeddings):
            continue
        if layer is not None and layer >= dims.num_hidden_layers:
            continue
        if info.shape != shape_of(axes, sizes):
            yield info, axes


def unexpected_tensors(
    checkpoint: Checkpoint, config: NormalizedConfig, evidence: Evidence
) -> tuple[list[Problem], list[str]]:
    """Report tensors that the config does not ask for.

    Biases that Qwen3 would use if its config said so are a problem, since dropping them changes the
    output; unknown names are one warning. (Layers and vocabulary rows beyond the config's are
    reported as that field's mismatch.)
    """
    biases: list[TensorInfo] = []
    unknown: list[str] = []
    shape, family = config.dims, config.family
    experts = evidence.sizes(shape)["num_experts"]
    for name, info in checkpoint.tensors.items():
        if _axes(name, family, experts) is not None:
            continue
        layer, _, role = parse_name(name)
        if layer is not None and role in family.biases:
            biases.append(info)
        else:
            unknown.append(name)
    problems = []
    # With attention_bias: true the config itself has been refused already.
    if biases and not any(problem.field == "attention_bias" for problem in config.problems):
        problems.append(
            Problem(
                ConfigMismatch,
                f"the config has attention_bias: false, but the weights have biases ({len(biases)}), and "
                "dropping them would change the output",
                file=biases[0].file.name,
                tensor=biases[0].name,
                field="attention_bias",
                expected="no attention biases (attention_bias: false)",
                found=f"{len(biases)} biases",
                advice="biased Qwen3 variants can't be loaded into MindFormers; use HuggingFace transformers",
            )
        )
    warnings = []
    if unknown:
        shown = ", ".join(name[:120] for name in unknown[:10])
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        warnings.append(f"ignored, as Qwen3 has no such tensors: {shown}{more}")
    return problems, warnings


def _axes(name: str, family: Family, experts: int) -> tuple[Axis, ...] | None:
    """Return the axes of a tensor that the model has; it has none of an expert beyond the last."""
    expert = parse_name(name).expert
    return family.axes_of(name) if expert is None or expert < experts else None


def tied_head(checkpoint: Checkpoint, overridden: Overridden) -> list[str]:
    """Warn of an ``lm_head.weight`` that the config makes superfluous.

    HuggingFace ties and ignores it, so that is done here. A difference from the embedding is looked
    for in the first 16 MiB.
    """
    family, tensors = overridden.config.family, checkpoint.tensors
    head, embedding = tensors.get(family.head), tensors.get(family.embedding)
    if head is None or not overridden.config.dims.tie_word_embeddings:
        return []
    source = overridden.origin("tie_word_embeddings").source
    verdict = "it is not compared with the embedding, which is not there"
    if embedding is not None:
        verdict = _compare(checkpoint, head, embedding)
    warning = (
        f"{head.file.name} has {head.name} although {source} says tie_word_embeddings: true; as with "
        f"HuggingFace, the embedding is used and {head.name} is ignored ({verdict})"
    )
    return [warning]


def _compare(checkpoint: Checkpoint, head: TensorInfo, embedding: TensorInfo) -> str:
    if (head.dtype, head.shape) != (embedding.dtype, embedding.shape):
        return "it differs from the embedding in shape or dtype"
    length = min(head.nbytes, _COMPARED_BYTES)
    try:
        first, second = (checkpoint.file(info.file).read(info.offset, length) for info in (head, embedding))
    except CheckpointError as error:
        return f"it could not be compared with the embedding: {error.problems[0].found}"
    if first != second:
        return "its values differ from the embedding's, so the model may be meant to be untied"
    return "they are identical" if length == head.nbytes else f"identical as far as compared, {length} bytes"
