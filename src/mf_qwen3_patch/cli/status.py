"""``status``: versions, device, patches and injection; the first thing to paste into a bug report."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import mf_qwen3_patch
from mf_qwen3_patch import cpu_kernels
from mf_qwen3_patch._installed import installed_versions
from mf_qwen3_patch.activation import startup
from mf_qwen3_patch.activation.contract import check_contract
from mf_qwen3_patch.activation.registry import PATCHES
from mf_qwen3_patch.activation.upstream import TESTED_STACKS
from mf_qwen3_patch.cli._ascend import AscendFacts, ascend_facts
from mf_qwen3_patch.cli._exit_codes import ENVIRONMENT, OK, PROBLEMS
from mf_qwen3_patch.cli._shared import add_json, installation, packages, print_json, stdout_for_us_alone

HELP = "say which versions are there, what each patch does on them, and how the shim gets into programs"
DESCRIPTION = (
    "Import MindSpore and MindFormers, apply the patches, and say what became of them. "
    "Exit code 0: all is well; 1: a patch failed; 3: MindFormers cannot be imported."
)
EXAMPLES = ("{prog}", "{prog} --json", "{prog} --contract")
# By name, not by prefix: HF_TOKEN is a secret.
_VARIABLES = (
    *("ASCEND_HOME_PATH", "ASCEND_OPP_PATH", "ASCEND_RT_VISIBLE_DEVICES", "ASCEND_TOOLKIT_HOME"),
    *("DEVICE_ID", "ENFORCE_EAGER", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"),
    *("MODELSCOPE_CACHE", "MS_DEV_GRAPH_KERNEL_FLAGS", "PYTHONPATH", "PYTHONSTARTUP", "RUN_MODE"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--contract",
        action="store_true",
        help="look up every name of MindSpore's and MindFormers' that the shim relies upon, instead; "
        "exit code 1 if one is missing or takes other parameters than in the releases that are known",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print; return 0 if every patch is applied, left out or not needed."""
    with stdout_for_us_alone() as stdout:
        # What upstream is and does itself can be seen only while nothing is patched.
        mf_qwen3_patch.deactivate()
        if arguments.contract:
            return _run_contract(stdout, as_json=arguments.json)
        found = _look()
        if arguments.json:
            print_json(found, stdout)
        else:
            print(_as_text(found), file=stdout)
    states = {patch["state"] for patch in found["patches"]}
    if found["import_error"]:
        return ENVIRONMENT
    return PROBLEMS if "failed" in states else OK


def _run_contract(stdout: TextIO, *, as_json: bool) -> int:
    findings = check_contract()
    kept = [finding for finding in findings if finding.kept]
    if as_json:
        items = [dataclasses.asdict(finding) for finding in findings]
        print_json({"versions": installed_versions(), "contract": items}, stdout)
    else:
        lines = [f"{'ok    ' if finding.kept else 'BROKEN'} {finding}" for finding in findings]
        lines.append(f"{len(kept)} of {len(findings)} names are as the shim expects them")
        print(*lines, sep="\n", file=stdout)
    return 0 if len(kept) == len(findings) else 1


def _look() -> dict[str, Any]:
    provided: dict[str, str] = {}
    device = import_error = None
    try:
        device = importlib.import_module("mindspore").get_context("device_target")
        for patch in PATCHES:
            importlib.import_module(patch.target)
            if reason := patch.step_aside_reason():
                provided[patch.name] = reason
    except Exception as error:  # noqa: BLE001 - whatever it is belongs in the bug report
        import_error = f"{type(error).__name__}: {error}"
    mf_qwen3_patch.activate()
    pth = startup.installed_pth()
    return {
        **installation(),
        "location": str(Path(mf_qwen3_patch.__file__).parent),
        "executable": sys.executable,
        "import_error": import_error,
        "device": device,
        "cpu_kernels": cpu_kernels.is_enabled(),
        "ascend": ascend_facts(),
        "patches": [dataclasses.asdict(patch) for patch in mf_qwen3_patch.status()],
        "provided_upstream": provided,
        "injection": {
            "active": bool(startup.ways()),
            "ways": startup.ways(),
            "pth": None if pth is None else str(pth),
            "startup_file": os.environ.get("PYTHONSTARTUP") == str(startup.startup_file()),
        },
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("MF_QWEN3_PATCH") or name in _VARIABLES
        },
    }


def _as_text(found: dict[str, Any]) -> str:
    by_reason: dict[str, list[str]] = {}
    for name, reason in found["provided_upstream"].items():
        by_reason.setdefault(reason, []).append(name)
    provided = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()) or "none of this"
    stacks = "; ".join(", ".join(f"{name} {number}" for name, number in stack.items()) for stack in TESTED_STACKS)
    tested = "yes, these versions of mindformers and mindspore together"
    return "\n".join(
        [
            f"mf_qwen3_patch {found['mf_qwen3_patch']} in {found['location']}",
            f"  python {found['python']}: {found['executable']}",
            f"  platform: {found['platform']}",
            packages(found["versions"]),
            f"  tested: {tested if found['tested'] else f'not these versions together, but: {stacks}'}",
            *([f"  import failed: {found['import_error']}"] if found["import_error"] else []),
            f"  device: {found['device'] or 'unknown'}; CPU stand-ins: {'on' if found['cpu_kernels'] else 'off'}",
            *_ascend(found["ascend"]),
            f"  injection: {_injection(found['injection'], found['environment'])}",
            "  patches:",
            *(
                f"    {patch['name']:<20} {patch['target']:<12} {patch['state']}"
                + (f": {patch['reason']}" if patch["reason"] else "")
                for patch in found["patches"]
            ),
            *([] if found["import_error"] else [f"  upstream provides itself: {provided}"]),
            *(f"  {name}={value}" for name, value in found["environment"].items()),
        ]
    )


def _ascend(facts: AscendFacts) -> list[str]:
    """Return the lines about Ascend; none where nothing of it is there."""
    cann, driver, npus = facts["cann"], facts["driver"], facts["npus"]
    if not (cann or driver or npus):
        return []
    lines = [f"  Ascend: CANN {cann or 'not found'}, driver {driver or 'not found'}, NPUs: {len(npus) or 'none seen'}"]
    for npu in npus:
        memory = f", {npu['memory_used_mb']} of {npu['memory_mb']} MB used" if npu["memory_mb"] else ""
        lines.append(f"    NPU {npu['id']}: {npu['name']}, {npu['health']}{memory}")
    return lines


def _injection(injection: dict[str, Any], environment: dict[str, str]) -> str:
    if injection["active"]:
        text = f"active in every program started from here, by {', '.join(injection['ways'])}"
    elif injection["pth"] is None:
        text = (
            f"not injected: programs import the shim themselves, or `run` brings it in ({startup.PTH} is not installed)"
        )
    else:
        value = environment.get("MF_QWEN3_PATCH")
        reason = (
            f"MF_QWEN3_PATCH={value}" if value else "programs import the shim themselves, MF_QWEN3_PATCH is not set"
        )
        text = f"not injected: {reason} ({injection['pth']} is installed)"
    return text + ("; in interactive sessions by PYTHONSTARTUP" if injection["startup_file"] else "")
