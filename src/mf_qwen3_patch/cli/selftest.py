"""``selftest``: does this machine, with its own kernels, say what HuggingFace says? Something to paste into a bug."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import mf_qwen3_patch
from mf_qwen3_patch.activation.upstream import installed_versions, is_tested
from mf_qwen3_patch.cli._output import stdout_for_us_alone
from mf_qwen3_patch.errors import DeviceUnavailable

if TYPE_CHECKING:
    # Generic in the type stubs only.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

MICRO_QWEN3 = Path(mf_qwen3_patch.__file__).parent / "micro_qwen3"
"""The tiny Qwen3 that the package ships."""

GOLDEN_NAME = "golden.json"
"""The reference data of HuggingFace transformers, beside it."""

# In float32 only the order of summation differs.
_FLOAT32_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Outcome:
    """The continuation of one greeting."""

    prompt: str
    expected_text: str
    text: str
    tokens: list[int]
    expected_tokens: list[int]
    difference: float
    tolerance: float
    seconds: float

    @property
    def passed(self) -> bool:
        # Not "larger than": NaN is neither larger nor smaller.
        return self.tokens == self.expected_tokens and self.difference <= self.tolerance


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "selftest",
        help="load a tiny Qwen3 on this machine's device and compare what it says with HuggingFace",
        description="Load the tiny Qwen3 that comes with the package on the device, with the device's own kernels (on "
        "a CPU: the stand-ins), and compare tokens and logits with HuggingFace's. Prints a report to paste into a bug. "
        "Exit code 0: all the same; 1: not; 2: it cannot be tried, and why.",
    )
    parser.add_argument("--device", choices=("Ascend", "CPU"), help="default: MindSpore's own choice")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Try, print, and return 0 if everything is as HuggingFace has it, else 1."""
    with stdout_for_us_alone() as stdout:
        found = _report(arguments.device)
        print(json.dumps(found, ensure_ascii=False) if arguments.json else _as_text(found), file=stdout)
    return 0 if found["passed"] else 1


def _report(device: str | None) -> dict[str, Any]:
    device = _use_device(device)
    golden = json.loads((MICRO_QWEN3 / GOLDEN_NAME).read_text(encoding="utf-8"))
    outcomes: list[_Outcome] = []
    reached = ["an operator has run on the device"] if device != "CPU" else []
    failure = report = None
    try:
        model, tokenizer = _load()
        report = str(model.mf_qwen3_report)
        reached.append(f"the model is loaded and verified, to compute in {_dtype(model)}")
        outcomes = [_continue(model, tokenizer, golden, continuation) for continuation in golden["continuations"]]
    except Exception as error:  # noqa: BLE001 - whatever it is belongs in the report
        failure = f"{type(error).__name__}: {error}"
    versions = installed_versions()
    return {
        "passed": failure is None and all(outcome.passed for outcome in outcomes),
        "device": device,
        "cpu_kernels": mf_qwen3_patch.cpu_kernels.is_enabled(),
        "failure": failure,
        "reached": reached,
        "continuations": [
            {
                "passed": outcome.passed,
                "prompt": outcome.prompt,
                "text": outcome.text,
                "expected_text": outcome.expected_text,
                "tokens": outcome.tokens,
                "expected_tokens": outcome.expected_tokens,
                "largest_logit_difference": outcome.difference if np.isfinite(outcome.difference) else None,
                "tolerance": outcome.tolerance,
                "seconds": round(outcome.seconds, 3),
            }
            for outcome in outcomes
        ],
        "load": report,
        "mf_qwen3_patch": mf_qwen3_patch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "tested": is_tested(versions),
        "golden": golden["versions"],
        "patches": [
            {"name": patch.name, "state": patch.state, "reason": patch.reason} for patch in mf_qwen3_patch.status()
        ],
    }


def _use_device(wanted: str | None) -> str:
    """Set the device and see that it answers.

    Raises:
        DeviceUnavailable: It does not.
    """
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


def _load() -> tuple[Any, Any]:
    transformers = importlib.import_module("transformers")
    mindformers = importlib.import_module("mindformers")
    return (
        mindformers.AutoModel.from_pretrained(MICRO_QWEN3),
        transformers.AutoTokenizer.from_pretrained(MICRO_QWEN3),
    )


def _continue(model: Any, tokenizer: Any, golden: dict[str, Any], continuation: dict[str, Any]) -> _Outcome:
    prompt, expected = continuation["prompt"], np.array(continuation["logits"], np.float32)
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
    logits = np.asarray(out["logits"][0][0], np.float32)
    same_shape = logits.shape == expected.shape
    return _Outcome(
        prompt=continuation["prompt_text"],
        expected_text=continuation["text"],
        text=str(tokenizer.decode(sequence, skip_special_tokens=True)),
        tokens=sequence[len(prompt) :],
        expected_tokens=continuation["tokens"],
        difference=float(np.abs(logits - expected).max()) if same_shape else float("nan"),
        tolerance=_tolerance(model, continuation),
        seconds=seconds,
    )


def _tolerance(model: Any, continuation: dict[str, Any]) -> float:
    """Return how much a logit may differ: in half precision, by less than could change any of the tokens."""
    if _dtype(model) == "float32":
        return _FLOAT32_TOLERANCE
    return float(continuation["smallest_margin"]) / 2


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
        "  packages: " + ", ".join(f"{name} {number or 'not installed'}" for name, number in found["versions"].items()),
        f"  these versions were tested together: {'yes' if found['tested'] else 'no'}",
        f"  expected by transformers {found['golden']['transformers']}, torch {found['golden']['torch']}",
        f"  patches: {states}",
    ]
    if found["load"]:
        lines += ["  " + line for line in found["load"].splitlines()]
    return "\n".join(lines)
