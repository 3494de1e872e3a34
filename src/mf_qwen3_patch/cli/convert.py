"""``convert HF_DIR OUT_DIR``: a HuggingFace Qwen3 directory becomes a MindFormers one, offline."""

from __future__ import annotations

import argparse
import importlib
import sys

import mf_qwen3_patch
from mf_qwen3_patch.cli._shared import add_shard_size, positive_int, print_written, resumable
from mf_qwen3_patch.errors import CheckpointWarning
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING

HELP = "convert a HuggingFace Qwen3 directory to MindFormers' names and merged layout"
DESCRIPTION = (
    "Convert a HuggingFace Qwen3 directory, dense or a mixture of experts, file to file, without a device. OUT_DIR "
    "appears when it is whole; until then it grows in OUT_DIR.partial, where a run that was stopped is continued. "
    "Exit code 0: converted; 1: the checkpoint has problems."
)
EXAMPLES = (
    "{prog} ./Qwen3-8B ./qwen3-8b-inference",
    "{prog} ./Qwen3-8B ./qwen3-8b-training --layout training",
    "{prog} ./Qwen3-14B ./qwen3-14b-tp4 --tp 4 --dtype bfloat16",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two directories, and how to write the second."""
    parser.add_argument("source", metavar="HF_DIR", help="the HuggingFace directory; only read")
    parser.add_argument("target", metavar="OUT_DIR", help="the directory to make: not there yet, or empty")
    parser.add_argument(
        "--layout",
        choices=(INFERENCE, TRAINING),
        default=INFERENCE,
        help="inference (the default): for load_checkpoint and load_param_into_net into an inference model; training: "
        "where training starts from, and what load_weights of MindFormers itself reads, on any number of ranks",
    )
    parser.add_argument(
        "--tp",
        metavar="N",
        type=positive_int,
        default=1,
        help="cut the inference layout for N tensor-parallel ranks: rank_0/model.safetensors and so on, without config "
        "and tokenizer",
    )
    parser.add_argument(
        "--dtype", choices=("bfloat16", "float16", "float32"), help="of the written tensors (default: as they are)"
    )
    parser.add_argument("--adapter", metavar="DIR", help="a LoRA adapter of PEFT's to merge into the weights")
    add_shard_size(parser)


def run(arguments: argparse.Namespace) -> int:
    """Convert, print, and return 0."""
    with resumable(arguments.source, "a HuggingFace model", arguments.target) as stdout:
        if arguments.tp > 1:
            # The networks are looked at for their slices and never run: they are built without a device.
            importlib.import_module("mindspore").set_context(device_target="CPU")
            mf_qwen3_patch.enable_cpu_kernels()
        from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers

        done = convert_to_mindformers(
            arguments.source,
            arguments.target,
            layout=arguments.layout,
            adapter=arguments.adapter,
            ranks=arguments.tp,
            dtype=arguments.dtype,
            max_shard_bytes=arguments.max_shard_size,
        )
        for warning in done.warnings:
            print(f"warning: {CheckpointWarning(warning)}", file=sys.stderr)
        each = use = ""
        if arguments.tp > 1:
            each = f" for each of {arguments.tp} ranks"
            use = f"  in a YAML: load_checkpoint: {done.written.directory}, pretrained_model_dir: {arguments.source}"
        each += f", dequantized ({done.dequantized})," if done.dequantized else ""
        each += f", merged with {done.adapter}," if done.adapter else ""
        contents = f"{done.parameters} parameters{each} in the {arguments.layout} layout"
        more = [f"  not converted: {name} (Qwen3 has no such parameter)" for name in done.ignored]
        print_written(done.written, stdout, contents, *more, use=use)
    return 0
