"""``check DIR``: will this directory load? Answered from headers and a few KiB of values, without MindSpore."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from mf_qwen3_patch._display import printable
from mf_qwen3_patch._problem_text import groups_of, numbered_lines
from mf_qwen3_patch.checkpoint.checks.memory_plan import DEFAULT_TOKENS, plan_memory
from mf_qwen3_patch.checkpoint.checks.preflight import Preflight, preflight
from mf_qwen3_patch.checkpoint.config.mindformers_yaml import YamlSettings, read_yaml
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import QuantizedTensor
from mf_qwen3_patch.cli._exit_codes import OK, PROBLEMS, USAGE, exit_code_for
from mf_qwen3_patch.cli._shared import add_json, positive_int, positive_number, print_error, print_json
from mf_qwen3_patch.cli._terminal import paint
from mf_qwen3_patch.errors import CheckpointError, CheckpointWarning

HELP = "say whether a HuggingFace Qwen3 directory will load, and why not"
DESCRIPTION = (
    "Check config.json, the index and the file headers of a HuggingFace Qwen3 directory. "
    "Exit code 0: it will load; 1: it won't, or does not fit."
)
_GIB = 1 << 30
EXAMPLES = (
    "{prog} ./Qwen3-8B",
    "{prog} ./Qwen3-14B --config predict_qwen3.yaml --tp 4",
    "{prog} Qwen/Qwen3-8B --device-memory 64 --seq-length 65536 --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the directory, and what it shall be loaded with."""
    help_text = "the directory with config.json and the weights, or a hub ID that a cache has"
    parser.add_argument("directory", metavar="DIR", help=help_text)
    parser.add_argument("--adapter", metavar="DIR", help="a LoRA adapter of PEFT's to merge into the weights")
    parser.add_argument("--config", metavar="YAML", help="a MindFormers YAML to check against the weights, too")
    parser.add_argument(
        "--tp", metavar="N", type=positive_int, help="tensor-parallel ranks (default: the YAML's, or 1)"
    )
    parser.add_argument(
        "--device-memory",
        metavar="GIB",
        type=positive_number,
        help="plan the memory of devices of so many GiB, such as 64: parameters, key/value cache and rest of each "
        "rank, and the numbers of ranks that fit; exit code 1 if it does not fit on those asked for",
    )
    parser.add_argument(
        "--seq-length",
        metavar="TOKENS",
        type=positive_int,
        default=DEFAULT_TOKENS,
        help="with --device-memory: tokens of a whole batch in the key/value cache (default: 32768, as MindFormers)",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return 0 if the directory will load, else 1."""
    settings = YamlSettings("") if arguments.config is None else read_yaml(arguments.config)
    ranks = arguments.tp if arguments.tp is not None else settings.tensor_parallel
    directory = Path(arguments.directory)
    try:
        source = Location(arguments.directory, local_files_only=True, adapter=arguments.adapter).find()
        directory = source.path
        result = preflight(
            source,
            overrides=settings.overrides,
            overrides_source=settings.source,
            tensor_parallel=ranks,
            device_memory=settings.device_memory,
        )
    except CheckpointError as error:
        code = exit_code_for(error) if directory.is_dir() else USAGE  # what is not there has no problems
        print_error(error, code, as_json=arguments.json)
        return code
    found = _as_json(result, ranks)
    fits = True
    if arguments.device_memory is not None and not result.problems:
        limit = int(arguments.device_memory * _GIB)
        plan = plan_memory(result.dims, result.memory.dtype, ranks, arguments.seq_length, limit, result.tables)
        found["device_plan"] = plan.as_dict()
        fits = plan.fits
    if arguments.json:
        print_json(found, sys.stdout)
    else:
        print(_as_text(result, found))
    return PROBLEMS if result.problems or not fits else OK


def _as_json(result: Preflight, ranks: int) -> dict[str, Any]:
    checkpoint, memory = result.checkpoint, result.memory
    return {
        "directory": str(checkpoint.directory),
        "loadable": not result.problems,
        "problems": [problem.as_dict() for problem in result.problems],
        "warnings": [str(CheckpointWarning(text)) for text in result.warnings],  # with their code, as a load gives them
        "files": [path.name for path in checkpoint.files],
        "tensors": len(checkpoint.tensors),
        "bytes": sum(info.nbytes for info in checkpoint.tensors.values()),
        "shape": dataclasses.asdict(result.dims),
        "quantized": checkpoint.dequantized or None,
        "adapter": None if checkpoint.source.adapter is None else str(checkpoint.source.adapter.path),
        "tensor_parallel": ranks,
        "memory": {
            "parameters": memory.parameters,
            "dtype": memory.dtype,
            "device_bytes_per_rank": memory.device_per_rank,
            "host_bytes": memory.host,
            "host_bytes_free": memory.host_free,
        },
    }


def _as_text(result: Preflight, found: dict[str, Any]) -> str:
    count = len(groups_of(result.problems))
    memory = result.memory
    verdict = f"will not load: {_plural(count, 'problem')}" if count else "will load"
    if not count and memory.host_free is not None and memory.host > memory.host_free:
        verdict = "the files are sound, but this host lacks the memory"
    verdict = paint(verdict, "red" if count else "green", sys.stdout)
    lines = [f"{printable(found['directory'])}: {verdict}"]
    if not count:
        lines += _summary(result, found)
        lines += _device_plan(found.get("device_plan"))
    lines += numbered_lines(result.problems)
    lines += [f"  warning: {warning}" for warning in found["warnings"]]
    return "\n".join(lines)


def _summary(result: Preflight, found: dict[str, Any]) -> list[str]:
    shape, memory = result.dims, result.memory
    tied = "tied" if shape.tie_word_embeddings else "untied"
    experts = f", {shape.num_experts} experts of {shape.moe_intermediate_size}" if shape.num_experts else ""
    free = "" if memory.host_free is None else f" ({_size(memory.host_free)} free)"
    model = (
        f"{_size(memory.parameters, 'billion', 'million')} parameters, {shape.num_hidden_layers} layers, "
        f"hidden_size {shape.hidden_size}, {shape.num_attention_heads} heads, {shape.num_key_value_heads} key-value "
        f"heads of {shape.head_dim}, vocab_size {shape.vocab_size}, {tied}{experts}"
    )
    needed = f"{_size(memory.device_per_rank)} per device on {_plural(found['tensor_parallel'], 'rank')}"
    changed = result.checkpoint.adapted
    quantized = [info for info in result.checkpoint.tensors.values() if isinstance(info, QuantizedTensor)]
    method = f"  quantized: {found['quantized']}, {_plural(len(quantized), 'tensor')}; dequantized to {memory.dtype}"
    return [
        f"  model: Qwen3, {model}",
        *([method] if quantized else []),
        *([f"  adapter: LoRA, {found['adapter']}, merged into {_plural(changed, 'tensor')}"] if changed else []),
        f"  files: {found['tensors']} tensors in {_plural(len(found['files']), 'file')}, {_size(found['bytes'])}",
        f"  memory in {memory.dtype}: {needed}, {_size(memory.host)} on the host{free}",
    ]


def _device_plan(plan: dict[str, Any] | None) -> list[str]:
    if plan is None:
        return []
    gib = {name: f"{plan[f'{name}_bytes'] / _GIB:.1f} GiB" for name in ("device", "parameter", "cache", "rest")}
    numbers = ", ".join(map(str, plan["fitting_tensor_parallel"])) or "none"
    parts = (
        f"{gib['parameter']} of parameters, {gib['cache']} of key/value cache for {plan['cache_tokens']} tokens "
        f"({plan['cache_bytes_per_token'] / 1024:.0f} KiB each), {gib['rest']} left of {gib['device']}"
    )
    return [
        f"  each device on {_plural(plan['tensor_parallel'], 'rank')}: {parts}",
        f"  {'fits' if plan['fits'] else 'does not fit'}; numbers of ranks that do: {numbers}",
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _size(count: int, large: str = "GB", small: str = "MB") -> str:
    return f"{count / 1e9:.2f} {large}" if count >= 1e8 else f"{count / 1e6:.2f} {small}"
