"""``selftest``: does this machine, with its own kernels, say what HuggingFace says? Something to paste into a bug."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

import mf_qwen3_patch
from mf_qwen3_patch.cli._shared import add_json, installation, packages, print_json, stdout_for_us_alone
from mf_qwen3_patch.errors import DeviceUnavailable

HELP = "load a tiny Qwen3 on this machine's device and compare what it says with HuggingFace"
DESCRIPTION = (
    "Load the tiny Qwen3 that comes with the package on the device, with the device's own kernels (on a CPU: the "
    "stand-ins), and compare tokens and logits with HuggingFace's. Prints a report to paste into a bug. Exit code 0: "
    "all the same; 1: not; 3: it cannot be tried, and why."
)
EXAMPLES = ("{prog}", "{prog} --device CPU --json")

# The tiny Qwen3 that the package ships, and the reference data of HuggingFace transformers beside it.
MICRO_QWEN3 = Path(mf_qwen3_patch.__file__).parent / "micro_qwen3"
GOLDEN_NAME = "golden.json"
_FLOAT32_TOLERANCE = 1e-3  # only the order of summation differs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--device", choices=("Ascend", "CPU"), help="default: MindSpore's own choice")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Try, print, and return 0 if everything is as HuggingFace has it, else 1."""
    with stdout_for_us_alone() as stdout:
        found = _report(arguments.device)
        if arguments.json:
            print_json(found, stdout)
        else:
            print(_as_text(found), file=stdout)
    return 0 if found["passed"] else 1


def _report(wanted: str | None) -> dict[str, Any]:
    device = _use_device(wanted)
    golden = json.loads((MICRO_QWEN3 / GOLDEN_NAME).read_text(encoding="utf-8"))
    continuations: list[dict[str, Any]] = []
    reached = ["an operator has run on the device"] if device != "CPU" else []
    failure = report = None
    try:
        auto_tokenizer = importlib.import_module("transformers").AutoTokenizer
        model = importlib.import_module("mindformers").AutoModel.from_pretrained(MICRO_QWEN3)
        tokenizer = auto_tokenizer.from_pretrained(MICRO_QWEN3)
        report = str(model.mf_qwen3_report)
        reached.append(f"the model is loaded and verified, to compute in {_dtype(model)}")
        continuations = [_continue(model, tokenizer, golden, expected) for expected in golden["continuations"]]
    except Exception as error:  # noqa: BLE001 - whatever it is belongs in the report
        failure = f"{type(error).__name__}: {error}"
    return {
        "passed": failure is None and all(one["passed"] for one in continuations),
        "device": device,
        "cpu_kernels": mf_qwen3_patch.cpu_kernels.is_enabled(),
        "failure": failure,
        "reached": reached,
        "continuations": continuations,
        "load": report,
        **installation(),
        "golden": golden["versions"],
        "patches": [
            {"name": patch.name, "state": patch.state, "reason": patch.reason} for patch in mf_qwen3_patch.status()
        ],
    }


def _use_device(wanted: str | None) -> str:
    """Set the device and see that it answers; raise DeviceUnavailable if it does not."""
    # The forward pass of a CPU needs them, and they are in the way of no other device.
    os.environ.setdefault("RUN_MODE", "predict")
    mindspore = importlib.import_module("mindspore")
    device = wanted or str(mindspore.get_context("device_target"))
    try:
        mindspore.set_context(device_target=device)
        if device == "CPU":
            mf_qwen3_patch.enable_cpu_kernels()
        else:
            # First the context: MindFormers' settings of the memory pool count only before the device's first operator.
            importlib.import_module("mindformers")
            importlib.import_module("mf_qwen3_patch.loading.runtime.context").ensure_inference_context()
            _ = (mindspore.Tensor([1.0]) + 1).asnumpy()
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise DeviceUnavailable(
            f"MindSpore cannot use the device {device} on this machine: {reason}; "
            "try --device CPU, or mend the installation (npu-smi info shows the NPUs, "
            "mindspore.run_check() tries MindSpore alone)"
        ) from error
    return device


def _continue(model: Any, tokenizer: Any, golden: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Continue one greeting, and compare with what is expected."""
    prompt, expected_logits = expected["prompt"], np.array(expected["logits"], np.float32)
    started = time.perf_counter()
    out = model.generate(
        [prompt],
        max_new_tokens=golden["max_new_tokens"],
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    seconds = time.perf_counter() - started
    sequence = [int(token) for token in out["sequences"][0]]
    tokens = sequence[len(prompt) :]
    logits = np.asarray(out["logits"][0][0], np.float32)
    same_shape = logits.shape == expected_logits.shape
    difference = float(np.abs(logits - expected_logits).max()) if same_shape else float("nan")
    # In half precision, a logit may differ by less than could change any of the tokens.
    half_precision = _dtype(model) != "float32"
    tolerance = float(expected["smallest_margin"]) / 2 if half_precision else _FLOAT32_TOLERANCE
    return {
        # Not "larger than": NaN is neither larger nor smaller.
        "passed": tokens == expected["tokens"] and difference <= tolerance,
        "prompt": expected["prompt_text"],
        "text": str(tokenizer.decode(sequence, skip_special_tokens=True)),
        "expected_text": expected["text"],
        "tokens": tokens,
        "expected_tokens": expected["tokens"],
        "largest_logit_difference": difference if np.isfinite(difference) else None,
        "tolerance": tolerance,
        "seconds": round(seconds, 3),
    }


def _dtype(model: Any) -> str:
    return str(model.compute_dtype).lower()


def _as_text(found: dict[str, Any]) -> str:
    kernels = " with the CPU stand-ins" if found["cpu_kernels"] else ""
    lines = [f"selftest {'passed' if found['passed'] else 'FAILED'} on {found['device']}{kernels}"]
    lines += [f"  {step}" for step in found["reached"]]
    if found["failure"]:
        lines.append(f"  {found['failure']}")
    for one in found["continuations"]:
        verdict = "tokens and logits are HuggingFace's" if one["passed"] else "NOT what HuggingFace says"
        lines.append(f"  {one['prompt']}: {verdict}, {one['seconds']} s")
        lines.append(f"    {one['text']}")
        if one["tokens"] != one["expected_tokens"]:
            lines += [
                f"    expected: {one['expected_text']}",
                f"    tokens: {one['tokens']}",
                f"    expected: {one['expected_tokens']}",
            ]
        lines.append(
            f"    largest difference of a logit: {one['largest_logit_difference']} (allowed: {one['tolerance']})"
        )
    states = ", ".join(
        f"{patch['name']} {patch['state']}" + (f" ({patch['reason']})" if patch["reason"] else "")
        for patch in found["patches"]
    )
    lines += [
        f"  mf_qwen3_patch {found['mf_qwen3_patch']}, python {found['python']}, {found['platform']}",
        packages(found["versions"]),
        f"  these versions were tested together: {'yes' if found['tested'] else 'no'}",
        f"  expected by transformers {found['golden']['transformers']}, torch {found['golden']['torch']}",
        f"  patches: {states}",
    ]
    if found["load"]:
        lines += ["  " + line for line in found["load"].splitlines()]
    return "\n".join(lines)
