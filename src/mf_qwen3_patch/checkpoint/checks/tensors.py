"""Tensors that are missing, misshapen, or asked for by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mf_qwen3_patch.checkpoint.checks.biases import attention_biases
from mf_qwen3_patch.checkpoint.checks.inferred_dims import Comparison
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import (
    ConfigMismatch,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    Problem,
    some,
)
from mf_qwen3_patch.families.tensors import Axes, Axis, Shape, is_expert_role, names_of_role, parse_name, shape_of


def missing_tensors(compared: Comparison) -> list[Problem]:
    """Report the tensors that the model needs and no file holds, one problem per role.

    Tensors that went with a missing or damaged file are that file's problem, not listed again.
    """
    checkpoint, dims, family = compared.checkpoint, compared.config.dims, compared.config.family
    known = checkpoint.tensors.keys() | checkpoint.lost
    if checkpoint.lost_unknown:
        return []
    if not any(family.axes_of(name) is not None for name in checkpoint.names.values()):
        return [_nothing_known(compared)]
    problems: list[Problem] = []
    for name in family.outer_tensors:
        if name in known or (name == family.head and dims.tie_word_embeddings):
            continue
        if name == family.head and family.embedding in known:
            problems.append(_no_head(compared))
        else:
            problems.append(_needed([name]))
    # Where most are missing, some of their names are enough: a config may claim billions of experts.
    experts = min(compared.sizes["num_experts"], 2 * len(compared.experts) + 1)
    # Beyond the last layer with tensors it is num_hidden_layers that is wrong, which is reported as such.
    last = min(dims.num_hidden_layers, compared.num_hidden_layers)
    gaps = [layer for layer in range(last) if layer not in compared.layers]
    if gaps or not compared.layers:
        first, layers = (gaps[0], len(gaps)) if gaps else (0, dims.num_hidden_layers)
        names = [name for role in family.layer_tensors for name in names_of_role(first, role, experts)]
        which = f"layers {some([str(layer) for layer in gaps], 10)} have" if len(gaps) > 1 else f"layer {first} has"
        fault = f"{which} no tensors at all" if gaps else "no layer has tensors"
        count = layers * len(names)
        problems.append(_missing(names[0], count, f"{fault}: {count} tensors missing"))
    missing: dict[str, list[str]] = {}
    for role in family.layer_tensors:
        # An expert is missed once, not once for each of its tensors.
        kind = "experts" if is_expert_role(role) else role
        for layer in sorted(layer for layer in compared.layers if layer < last):
            names = [name for name in names_of_role(layer, role, experts) if name not in known]
            missing.setdefault(kind, []).extend(names)
    return problems + [
        _needed(names, _owner(names) if kind == "experts" else "the model") for kind, names in missing.items() if names
    ]


def _owner(names: list[str]) -> str:
    """Say which expert the tensors belong to, if it is only one."""
    owners = {(name.layer, name.expert) for name in map(parse_name, names)}
    if len(owners) > 1:
        return f"the model, among its experts ({len(owners)} of them are not whole),"
    ((layer, expert),) = owners
    return f"expert {expert} of layer {layer}"


def _nothing_known(compared: Comparison) -> Problem:
    checkpoint, embedding = compared.checkpoint, compared.config.family.embedding
    first = next(iter(checkpoint.tensors), None)
    return Problem(
        IncompleteCheckpoint,
        "none of the tensors has a name that Qwen3 uses" if first else "the weight files hold no tensors",
        file=", ".join(path.name for path in checkpoint.files[:3]) or None,
        tensor=embedding,
        expected=f"{embedding} and the others of Qwen3",
        found=f"{len(checkpoint.tensors)} tensors" + (f", the first named {first[:80]}" if first else ""),
        advice="download the checkpoint again, or save it with HuggingFace's save_pretrained()",
    )


def _needed(names: list[str], owner: str = "the model") -> Problem:
    tensors, verb = (f"{len(names)} tensors", "are") if len(names) > 1 else (names[0], "is")
    return _missing(names[0], len(names), f"{tensors} that {owner} needs {verb} in no file")


def _missing(first: str, count: int, summary: str) -> Problem:
    return Problem(
        IncompleteCheckpoint,
        summary,
        file="all .safetensors files",
        tensor=first,
        expected=f"{count} tensor{'s' if count > 1 else ''}",
        found="none",
        advice="download the checkpoint again; if it was saved by a training script, save all parameters",
    )


def _no_head(compared: Comparison) -> Problem:
    field, head = "tie_word_embeddings", compared.config.family.head
    embedding = compared.checkpoint.tensors.get(compared.config.family.embedding)
    says = f"has no {field}, which defaults to" if field in compared.config.absent else f"says {field}:"
    return Problem(
        ConfigMismatch,
        f"the config {says} false, but the weights have no {head}: every token would come out as 0",
        file="config.json" if embedding is None else embedding.file.name,
        tensor=head,
        field=field,
        expected=f"{head}, or {field}: true",
        found=f"{field}: false without {head}",
        advice=f"set {field}: true if the model ties them (Qwen3 up to 4B does); otherwise the file with {head} is "
        "missing",
    )


def _is_bias(compared: Comparison, name: str) -> bool:
    layer, _, role = compared.checkpoint.names[name]
    return layer is not None and role in compared.config.family.biases


def misshapen_tensors(compared: Comparison) -> list[Problem]:
    """Report tensors whose shape differs from the others', one problem per role and shape.

    The yardstick is what most tensors show, so a wrong config field does not come up again here.
    """
    sizes = compared.sizes
    groups: dict[tuple[str, Shape], list[tuple[TensorInfo, Axes]]] = {}
    for info, axes in _of_another_shape(compared, sizes):
        groups.setdefault((compared.checkpoint.names[info.name].role, info.shape), []).append((info, axes))
    problems = []
    for (info, axes), *others in groups.values():
        more = f" (and {len(others)} more of its kind)" if others else ""
        problems.append(
            Problem(
                CorruptCheckpoint,
                f"{info.name}{more} has another shape than the rest of the weights imply",
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
    """A tensor whose shape is not the one that the config asks for."""

    name: str
    found: Shape
    wanted: Shape

    def __str__(self) -> str:
        """Return the name and both shapes."""
        return f"{self.name} is {list(self.found)} instead of {list(self.wanted)}"


def misfits(compared: Comparison) -> tuple[Misfit, ...]:
    """Return the tensors whose shape is not the config's, of those that the config asks for."""
    sizes = compared.config.dims.axis_sizes()
    unfit = _of_another_shape(compared, sizes)
    return tuple(Misfit(info.name, info.shape, shape_of(axes, sizes)) for info, axes in unfit)


def _of_another_shape(compared: Comparison, sizes: Mapping[Axis, int]) -> Iterator[tuple[TensorInfo, Axes]]:
    """Yield the tensors that the config asks for, but not in the shape that ``sizes`` imply; with their axes."""
    dims, family, names = compared.config.dims, compared.config.family, compared.checkpoint.names
    wanted = {axes: shape_of(axes, sizes) for axes in {*family.outer_tensors.values(), *family.layer_tensors.values()}}
    for name, info in compared.checkpoint.tensors.items():
        axes = compared.axes_of(name, sizes)
        if axes is None or info.shape == wanted[axes] or (name == family.head and dims.tie_word_embeddings):
            continue
        if (names[name].layer or 0) < dims.num_hidden_layers:
            yield info, axes


def unexpected_tensors(compared: Comparison) -> tuple[list[Problem], list[str]]:
    """Report tensors that the config does not ask for.

    Biases that Qwen3 would use if its config said so are a problem, since dropping them changes the output, unless they
    are zero; unknown names are one warning. (Layers and vocabulary rows beyond the config's are reported as that
    field's mismatch.)
    """
    config, tensors = compared.config, compared.checkpoint.tensors
    biases = [bias.name for bias in attention_biases(compared)]
    unknown = [
        name for name in tensors if compared.axes_of(name, compared.sizes) is None and not _is_bias(compared, name)
    ]
    problems = []
    # With attention_bias: true the config itself has been refused already.
    if biases and not any(problem.field == "attention_bias" for problem in config.problems):
        problems.append(
            Problem(
                ConfigMismatch,
                f"the config has attention_bias: false, but the weights have biases ({len(biases)}), and dropping them "
                "would change the output",
                file=tensors[biases[0]].file.name,
                tensor=biases[0],
                field="attention_bias",
                expected="no attention biases (attention_bias: false)",
                found=f"{len(biases)} biases",
                advice="biased Qwen3 variants can't be loaded into MindFormers; use HuggingFace transformers",
            )
        )
    listed = some(unknown, 10, " and {} more")
    return problems, [f"ignored, as Qwen3 has no such tensors: {listed}"] if unknown else []
