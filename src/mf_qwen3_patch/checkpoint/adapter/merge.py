"""A checkpoint with a LoRA adapter, seen as the merged model: same names, same shapes, same dtypes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mf_qwen3_patch.checkpoint.adapter.low_rank import LowRankUpdate
from mf_qwen3_patch.checkpoint.adapter.settings import MERGE_WITH_PEFT, LoraSettings, read_settings
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.files.directory import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, Directory
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES, TensorInfo
from mf_qwen3_patch.errors import (
    CheckpointError,
    ConfigMismatch,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    Problem,
    UnsupportedCheckpoint,
    some,
)
from mf_qwen3_patch.families.family import Family

_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(.+)\.lora_(?:embedding_)?([AB])(?:\.(?!weight$)([^.]+))?(?:\.weight)?", re.DOTALL)
_WHOLE = re.compile(r"(.+?)(?:\.base_layer|\.modules_to_save(?:\.[^.]+)?)?\.weight", re.DOTALL)
_WEIGHT = ".weight"
_OTHER_BASE = "name the base model that the adapter was trained on"


class _WrongAdapter(Exception):
    """Say that an adapter can't be merged, by its problems."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__()
        self.problems = problems


@dataclass
class _Contents:
    """The tensors of an adapter, by the names of the base's modules."""

    factors: dict[str, dict[str, TensorInfo]] = field(default_factory=dict)  # "A" and "B"
    replaced: dict[str, TensorInfo] = field(default_factory=dict)
    embeddings: set[str] = field(default_factory=set)


def merged(checkpoint: Checkpoint, family: Family, *, tied: bool) -> Checkpoint:
    """Return the checkpoint with its adapter merged, if it has one; what is wrong with it is added to the problems.

    Of a model that is ``tied`` the embedding is the output layer, too.
    """
    adapter = checkpoint.source.adapter
    if adapter is None or checkpoint.source.is_adapter:
        return checkpoint
    try:
        config = adapter.adapter_config()
        settings, problems = read_settings(config)
        if settings is None:
            raise _WrongAdapter(problems)
        contents = _contents(_weights(adapter))
        shared = (family.embedding, family.head) if tied else ()
        tensors, problems = _merge(checkpoint, contents, settings, shared)
    except CheckpointError as error:
        return replace(checkpoint, problems=(*checkpoint.problems, *error.problems))
    except _WrongAdapter as wrong:
        return replace(checkpoint, problems=(*checkpoint.problems, *wrong.problems))
    return replace(
        checkpoint,
        tensors={**checkpoint.tensors, **tensors},
        files=(*checkpoint.files, adapter.path / ADAPTER_WEIGHTS_NAME),
        problems=(*checkpoint.problems, *problems),
        warnings=(*checkpoint.warnings, *_of_another_name(settings, checkpoint.directory)),
        adapted=len(tensors),
    )


def _weights(adapter: Directory) -> Mapping[str, TensorInfo]:
    if ADAPTER_WEIGHTS_NAME not in adapter.listing:
        others = sorted(name for name in adapter.listing if name.startswith("adapter_model"))
        found = some(others) or "no weights"
        summary = f"the adapter has no {ADAPTER_WEIGHTS_NAME}" + (f"; {others[0]} is not loaded" if others else "")
        advice = "download the adapter again" if not others else "save it again with safe_serialization=True"
        kind = UnsupportedCheckpoint if others else IncompleteCheckpoint
        raise _WrongAdapter(
            [
                Problem(
                    kind, summary, file=ADAPTER_WEIGHTS_NAME, expected=ADAPTER_WEIGHTS_NAME, found=found, advice=advice
                )
            ]
        )
    header = adapter.header(ADAPTER_WEIGHTS_NAME)
    if header.problems:
        raise _WrongAdapter(list(header.problems))
    return header.tensors


def _contents(tensors: Mapping[str, TensorInfo]) -> _Contents:
    """Sort the tensors of an adapter; several adapters in one file, and tensors of another kind, are problems."""
    contents, adapters, foreign = _Contents(), set(), []
    for name, tensor in tensors.items():
        own = name.removeprefix(_PREFIX)
        if factor := _FACTOR.fullmatch(own):
            contents.factors.setdefault(factor[1], {})[factor[2]] = tensor
            adapters.add(factor[3] or "default")
            if "lora_embedding_" in own:
                contents.embeddings.add(factor[1])
        elif "lora_" not in own and (whole := _WHOLE.fullmatch(own)):
            contents.replaced[whole[1]] = tensor
        else:
            foreign.append(tensor)
    if len(adapters) > 1:
        names = ", ".join(sorted(adapters))
        summary = f"{ADAPTER_WEIGHTS_NAME} holds several adapters: {names:.120}"
        advice = "save the one that is meant alone: save_pretrained(..., selected_adapters=[...])"
        raise _WrongAdapter([_problem(UnsupportedCheckpoint, summary, None, "one adapter", str(len(adapters)), advice)])
    if foreign:
        first = foreign[0]
        summary = f"the adapter has {len(foreign)} tensor(s) that are no part of an ordinary LoRA: {first.name:.120}"
        raise _WrongAdapter(
            [_problem(UnsupportedCheckpoint, summary, first, "lora_A and lora_B", first.name[:120], MERGE_WITH_PEFT)]
        )
    if not contents.factors and not contents.replaced:
        summary = f"{ADAPTER_WEIGHTS_NAME} has no tensor"
        raise _WrongAdapter(
            [_problem(IncompleteCheckpoint, summary, None, "lora_A and lora_B", "none", MERGE_WITH_PEFT)]
        )
    return contents


def _merge(
    checkpoint: Checkpoint, contents: _Contents, settings: LoraSettings, shared: Collection[str]
) -> tuple[dict[str, TensorInfo], list[Problem]]:
    """Return the tensors that the adapter changes, and what is wrong; one problem for each kind of fault."""
    tensors: dict[str, TensorInfo] = {}
    faults: dict[str, list[Problem]] = {}

    def wrong(kind: str, problem: Problem) -> None:
        faults.setdefault(kind, []).append(problem)

    for module in dict.fromkeys((*contents.factors, *contents.replaced)):
        name = module + _WEIGHT
        base, whole = checkpoint.tensors.get(name), contents.replaced.get(module)
        pair = contents.factors.get(module, {})
        shown = whole or next(iter(pair.values()))
        if name in shared:
            summary = f"the adapter changes {module}, but the base model ties its output layer to its embedding"
            advice = f"{MERGE_WITH_PEFT}, as PEFT decides which of both is meant"
            wrong("tied", _problem(UnsupportedCheckpoint, summary, shown, "an untied base model", "tied", advice))
        elif base is None:
            # Of a base with a file missing it is not known, and that file is the problem.
            if name not in checkpoint.lost and not checkpoint.lost_unknown:
                summary = f"the adapter changes {name:.120}, which the base model does not have"
                wrong("module", _problem(ConfigMismatch, summary, shown, name[:120], "no such tensor", _OTHER_BASE))
        elif whole is not None and whole.shape != base.shape:
            summary = f"{whole.name} takes the place of {name}, but has another shape"
            advice = f"{_OTHER_BASE}; if its vocabulary was resized, {MERGE_WITH_PEFT}"
            found, expected = f"{list(whole.shape)}", f"{list(base.shape)}"
            wrong("whole", _problem(ConfigMismatch, summary, whole, expected, found, advice))
        else:
            own = base if whole is None else replace(whole, name=name)
            if pair:
                _update(own, pair, module, settings, module in contents.embeddings, tensors, wrong)
            else:
                tensors[name] = own
    for name in checkpoint.tensors:
        module = name.removesuffix(_WEIGHT)
        if name.endswith(_WEIGHT) and settings.is_target(module) and module not in contents.factors:
            summary = f"target_modules names {module}, for which the adapter has neither lora_A nor lora_B"
            advice = "the adapter was saved incompletely: save it again, or use another checkpoint of it"
            expected = f"{_PREFIX}{module}.lora_A.weight"
            wrong("target", _problem(IncompleteCheckpoint, summary, None, expected, "in no file", advice))
    return tensors, [_first_of(problems) for problems in faults.values()]


def _first_of(problems: list[Problem]) -> Problem:
    first, more = problems[0], len(problems) - 1
    return replace(first, summary=f"{first.summary}; so it is with {more} more") if more else first


def _update(
    base: TensorInfo,
    pair: Mapping[str, TensorInfo],
    module: str,
    settings: LoraSettings,
    is_embedding: bool,
    tensors: dict[str, TensorInfo],
    wrong: Callable[[str, Problem], None],
) -> None:
    """Add a merged weight to ``tensors``, or say what is wrong with its factors."""
    if len(pair) < 2:
        ((present, tensor),) = pair.items()
        absent = "B" if present == "A" else "A"
        missing = f"lora_{absent}".join(tensor.name.rsplit(f"lora_{present}", 1))
        summary = f"{missing} is in no file, without which {tensor.name} can't be merged"
        advice = "the adapter was saved incompletely: save it again, or use another checkpoint of it"
        wrong("half", _problem(IncompleteCheckpoint, summary, tensor, missing, "in no file", advice))
        return
    rows, columns = base.shape if len(base.shape) == 2 else (0, 0)
    rank = settings.rank_of(module)
    first, second = pair["A"], pair["B"]
    if any(tensor.dtype not in DTYPE_NAMES for tensor in pair.values()):
        tensor = first if first.dtype not in DTYPE_NAMES else second
        summary = f"{tensor.name} has a dtype that no factor of a LoRA has"
        wrong(
            "dtype", _problem(CorruptCheckpoint, summary, tensor, ", ".join(DTYPE_NAMES), tensor.dtype, MERGE_WITH_PEFT)
        )
        return
    axes = (first.shape[-1:], second.shape[:1]), (first.shape[:1], second.shape[-1:])
    if len(first.shape) != 2 or len(second.shape) != 2 or axes[1][0] != axes[1][1] or axes[1][0] != (rank,):
        summary = f"{first.name} and {second.name} don't have the rank that {ADAPTER_CONFIG_NAME} says"
        found = f"{list(first.shape)} and {list(second.shape)}"
        advice = "put the adapter_config.json back that belongs to these weights"
        problem = _problem(ConfigMismatch, summary, first, f"rank {rank}", found, advice)
        wrong("rank", replace(problem, field="r"))
        return
    wanted = ((rows,), (columns,)) if is_embedding else ((columns,), (rows,))
    if axes[0] != wanted:
        summary = f"{first.name} and {second.name} don't fit {base.name} of the base model"
        found = f"{list(second.shape)} x {list(first.shape)}"
        wrong("shape", _problem(ConfigMismatch, summary, first, f"{list(base.shape)}", found, _OTHER_BASE))
        return
    left, right = (first, second) if is_embedding else (second, first)
    update = LowRankUpdate(base, left, right, settings.scaling_of(module), is_embedding)
    nbytes = base.nbytes + left.nbytes + right.nbytes
    tensors[base.name] = ComputedTensor(base.name, base.dtype, base.shape, base.file, base.offset, nbytes, update)


def _of_another_name(settings: LoraSettings, base: Path) -> list[str]:
    """Warn if the adapter was trained on a model of another name than the directory's."""
    if settings.base_model is None:
        return []
    name = Path(settings.base_model).name.lower()
    parts = {part.lower() for part in base.resolve().parts} | {base.name.lower()}
    if name in parts or any(part.startswith("models--") and part.endswith(f"--{name}") for part in parts):
        return []
    warning = (
        f"{ADAPTER_CONFIG_NAME} says that the adapter was trained on {settings.base_model:.120}, and it is merged into "
        f"{base}: make sure that this is the same model"
    )
    return [warning]


def _problem(
    kind: type[CheckpointError], summary: str, tensor: TensorInfo | None, expected: str, found: str, advice: str
) -> Problem:
    name = None if tensor is None else tensor.name
    return Problem(kind, summary, file=ADAPTER_WEIGHTS_NAME, tensor=name, expected=expected, found=found, advice=advice)
