"""``export MF_DIR HF_DIR``: MindFormers weights become a HuggingFace Qwen3 directory, the inverse of ``convert``."""

from __future__ import annotations

import argparse

from mf_qwen3_patch.cli._shared import add_shard_size, print_written, resumable
from mf_qwen3_patch.errors import some
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING

HELP = "export MindFormers Qwen3 weights to a HuggingFace directory"
DESCRIPTION = (
    "Export safetensors with MindFormers' names and merged parameters, of a dense Qwen3 or a mixture of experts, to "
    "HuggingFace's, file to file, without a device. HF_DIR appears when it is whole; until then it grows in "
    "HF_DIR.partial, where a run that was stopped is continued. Exit code 0: exported; 1: the checkpoint has problems."
)
EXAMPLES = (
    "{prog} ./trained ./hf --layout training --config ./Qwen3-8B",
    "{prog} ./qwen3-8b-inference ./hf",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two directories, and how the first was written."""
    parser.add_argument("source", metavar="MF_DIR", help="whole parameters, not the slices of ranks; only read")
    parser.add_argument("target", metavar="HF_DIR", help="the directory to make: not there yet, or empty")
    parser.add_argument(
        "--layout",
        choices=(INFERENCE, TRAINING),
        help="how query, key, value and gate, up are merged. Files of `convert` say so themselves; for others it must "
        "be said: training for what MindFormers trained, inference for what an inference model saved",
    )
    parser.add_argument(
        "--contiguous-attention",
        action="store_true",
        help="with --layout training: it was trained with use_contiguous_weight_layout_attention: True",
    )
    parser.add_argument(
        "--contiguous-mlp",
        action="store_true",
        help="with --layout training: it was trained with use_interleaved_weight_layout_mlp: False; says nothing about "
        "experts",
    )
    parser.add_argument(
        "--config",
        metavar="PATH",
        help="the model's config.json, or the HuggingFace directory with it and the tokenizer (default: MF_DIR)",
    )
    add_shard_size(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export, print, and return 0."""
    contiguous = arguments.contiguous_attention or arguments.contiguous_mlp
    if contiguous and arguments.layout != TRAINING:
        raise ValueError("--contiguous-attention and --contiguous-mlp say more about --layout training: give that, too")
    with resumable(arguments.source, "MindFormers weights", arguments.target) as stdout:
        from mf_qwen3_patch.convert.detect_layout import Layouts
        from mf_qwen3_patch.convert.to_huggingface import export_to_huggingface

        layouts = None
        if arguments.layout is not None:
            layouts = Layouts(
                linear_qkv=INFERENCE if arguments.contiguous_attention else arguments.layout,
                linear_fc1=INFERENCE if arguments.contiguous_mlp else arguments.layout,
                experts=arguments.layout,
            )
        done = export_to_huggingface(
            arguments.source,
            arguments.target,
            layouts=layouts,
            config=arguments.config,
            max_shard_bytes=arguments.max_shard_size,
        )
        attention, mlp = done.layouts.linear_qkv, done.layouts.linear_fc1
        layout = attention if attention == mlp else f"{attention} (attention) and {mlp} (MLP)"
        count = len(done.ignored)
        ignored = f"  not exported, as they are not of the model: {count} tensors ({some(done.ignored, most=5)})"
        contents = f"{done.tensors} tensors from the {layout} layout"
        print_written(done.written, stdout, contents, *([ignored] if count else []))
    return 0
