"""``check DIR``: will this directory load? Answered from the headers, without an NPU or MindSpore."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from mf_qwen3_patch.checkpoint.checks.preflight import Preflight, preflight
from mf_qwen3_patch.checkpoint.config.mindformers_yaml import YamlSettings, read_yaml
from mf_qwen3_patch.checkpoint.files.resolve import Location
from mf_qwen3_patch.cli._arguments import positive_int
from mf_qwen3_patch.errors import CheckpointWarning

if TYPE_CHECKING:
    # Generic in the type stubs only.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "check",
        help="say whether a HuggingFace Qwen3 directory will load, and why not",
        description="Check config.json, the index and the file headers of a HuggingFace Qwen3 directory. "
        "Exit code 0: it will load; 1: it won't; 2: wrong usage.",
    )
    parser.add_argument(
        "directory",
        metavar="DIR",
        help="the directory with config.json and the weights, or a hub ID that a cache has",
    )
    parser.add_argument("--config", metavar="YAML", help="a MindFormers YAML to check against the weights, too")
    parser.add_argument(
        "--tp", metavar="N", type=positive_int, help="tensor-parallel ranks (default: the YAML's, or 1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return 0 if the directory will load, else 1."""
    settings = YamlSettings("") if arguments.config is None else read_yaml(arguments.config)
    ranks = arguments.tp if arguments.tp is not None else settings.tensor_parallel
    result = preflight(
        Location(arguments.directory, local_files_only=True).find().path,
        overrides=settings.overrides,
        overrides_source=settings.source,
        tensor_parallel=ranks,
        device_memory=settings.device_memory,
    )
    print(json.dumps(_as_json(result, ranks)) if arguments.json else _as_text(result, ranks))
    return 1 if result.problems else 0


def _as_json(result: Preflight, ranks: int) -> dict[str, Any]:
    shape, memory = result.dims, result.memory
    return {
        "directory": str(result.checkpoint.directory),
        "loadable": not result.problems,
        "problems": [problem.as_dict() for problem in result.problems],
        "warnings": _warnings(result),
        "files": [path.name for path in result.checkpoint.files],
        "tensors": len(result.checkpoint.tensors),
        "bytes": _stored_bytes(result),
        "shape": {name: getattr(shape, name) for name in shape.__dataclass_fields__},
        "tensor_parallel": ranks,
        "memory": {
            "parameters": memory.parameters,
            "dtype": memory.dtype,
            "device_bytes_per_rank": memory.device_per_rank,
            "host_bytes": memory.host,
            "host_bytes_free": memory.host_free,
        },
    }


def _as_text(result: Preflight, ranks: int) -> str:
    count = len(result.problems)
    verdict = f"will not load: {_plural(count, 'problem')}" if count else "will load"
    lines = [f"{result.checkpoint.directory}: {verdict}"]
    if not count:
        lines += _summary(result, ranks)
    for number, problem in enumerate(result.problems, start=1):
        head, *rest = str(problem).split("\n")
        lines += [f"  {number}. {head}", *(f"     {line}" for line in rest)]
    lines += [f"  warning: {warning}" for warning in _warnings(result)]
    return "\n".join(lines)


def _warnings(result: Preflight) -> list[str]:
    """Return the warnings as a load would give them, with their code."""
    return [str(CheckpointWarning(text)) for text in result.warnings]


def _stored_bytes(result: Preflight) -> int:
    return sum(info.nbytes for info in result.checkpoint.tensors.values())


def _summary(result: Preflight, ranks: int) -> list[str]:
    checkpoint, shape, memory = result.checkpoint, result.dims, result.memory
    tied = "tied" if shape.tie_word_embeddings else "untied"
    experts = f", {shape.num_experts} experts of {shape.moe_intermediate_size}" if shape.num_experts else ""
    free = "" if memory.host_free is None else f" ({_size(memory.host_free)} free)"
    model = (
        f"{_parameters(memory.parameters)} parameters, {shape.num_hidden_layers} layers, "
        f"hidden_size {shape.hidden_size}, {shape.num_attention_heads} heads, "
        f"{shape.num_key_value_heads} key-value heads of {shape.head_dim}, "
        f"vocab_size {shape.vocab_size}, {tied}{experts}"
    )
    files = f"{len(checkpoint.tensors)} tensors in {_plural(len(checkpoint.files), 'file')}"
    needed = (
        f"{_size(memory.device_per_rank)} per device on {_plural(ranks, 'rank')}, "
        f"{_size(memory.host)} on the host{free}"
    )
    return [
        f"  model: Qwen3, {model}",
        f"  files: {files}, {_size(_stored_bytes(result))}",
        f"  memory in {memory.dtype}: {needed}",
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def _parameters(count: int) -> str:
    return f"{count / 1e9:.2f} billion" if count >= 1e8 else f"{count / 1e6:.2f} million"
