"""``status``: versions, device, patches and injection; the first thing to paste into a bug report."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mf_qwen3_patch
from mf_qwen3_patch import cpu_kernels
from mf_qwen3_patch.activation import startup
from mf_qwen3_patch.activation.contract import CONTRACT, check_contract
from mf_qwen3_patch.activation.upstream import TESTED_STACKS, installed_versions, is_tested, provided_upstream
from mf_qwen3_patch.cli._output import stdout_for_us_alone

if TYPE_CHECKING:
    # Generic in the type stubs only.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_VARIABLES = ("DEVICE_ID", "ENFORCE_EAGER", "MS_DEV_GRAPH_KERNEL_FLAGS", "PYTHONPATH", "PYTHONSTARTUP", "RUN_MODE")


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "status",
        help="say which versions are there, what each patch does on them, and how the shim gets into programs",
        description="Import MindSpore and MindFormers, apply the patches, and say what became of them. "
        "Exit code 0: all is well; 1: a patch failed, or MindFormers cannot be imported.",
    )
    parser.add_argument(
        "--contract",
        action="store_true",
        help="look up every name of MindSpore's and MindFormers' that the shim relies upon, instead; "
        "exit code 1 if one is missing or takes other parameters than in the releases that are known",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print; return 0 if every patch is applied, left out or not needed, else 1."""
    if arguments.contract:
        return _run_contract(as_json=arguments.json)
    with stdout_for_us_alone() as stdout:
        found = _look()
        print(json.dumps(found, ensure_ascii=False) if arguments.json else _as_text(found), file=stdout)
    states = {patch["state"] for patch in found["patches"]}
    return 1 if "failed" in states or found["import_error"] else 0


def _run_contract(*, as_json: bool) -> int:
    with stdout_for_us_alone() as stdout:
        mf_qwen3_patch.deactivate()
        findings = check_contract()
        broken = [finding for finding in findings if not finding.kept]
        if as_json:
            items = [
                {
                    "symbol": finding.symbol.path,
                    "used_for": finding.symbol.used_for,
                    "expected": finding.symbol.parameters,
                    "found": finding.found,
                    "kept": finding.kept,
                }
                for finding in findings
            ]
            print(json.dumps({"versions": installed_versions(), "contract": items}, ensure_ascii=False), file=stdout)
        else:
            print(
                *(f"{'ok    ' if finding.kept else 'BROKEN'} {finding}" for finding in findings), sep="\n", file=stdout
            )
            print(f"{len(CONTRACT) - len(broken)} of {len(CONTRACT)} names are as the shim expects them", file=stdout)
    return 1 if broken else 0


def _look() -> dict[str, Any]:
    versions = installed_versions()
    provided: dict[str, str] = {}
    device = import_error = None
    # What upstream does itself can be seen only while nothing is patched.
    mf_qwen3_patch.deactivate()
    try:
        device = importlib.import_module("mindspore").get_context("device_target")
        provided = provided_upstream()
    except Exception as error:  # noqa: BLE001 - whatever it is belongs in the bug report
        import_error = f"{type(error).__name__}: {error}"
    mf_qwen3_patch.activate()
    return {
        "mf_qwen3_patch": mf_qwen3_patch.__version__,
        "location": str(Path(mf_qwen3_patch.__file__).parent),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "versions": versions,
        "tested": is_tested(versions),
        "import_error": import_error,
        "device": device,
        "cpu_kernels": cpu_kernels.is_enabled(),
        "patches": [
            {"name": patch.name, "target": patch.target, "state": patch.state, "reason": patch.reason}
            for patch in mf_qwen3_patch.status()
        ],
        "provided_upstream": provided,
        "injection": _injection(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("MF_QWEN3_PATCH") or name in _VARIABLES
        },
    }


def _injection() -> dict[str, Any]:
    pth = startup.installed_pth()
    return {
        "active": bool(startup.ways()),
        "ways": list(startup.ways()),
        "pth": None if pth is None else str(pth),
        "startup_file": os.environ.get("PYTHONSTARTUP") == str(startup.startup_file()),
    }


def _as_text(found: dict[str, Any]) -> str:
    lines = [
        f"mf_qwen3_patch {found['mf_qwen3_patch']} in {found['location']}",
        f"  python {found['python']}: {found['executable']}",
        f"  platform: {found['platform']}",
        "  packages: " + ", ".join(f"{name} {number or 'not installed'}" for name, number in found["versions"].items()),
        f"  tested: {_tested(found)}",
    ]
    if found["import_error"]:
        lines.append(f"  import failed: {found['import_error']}")
    kernels = "on" if found["cpu_kernels"] else "off"
    lines += [
        f"  device: {found['device'] or 'unknown'}; CPU stand-ins: {kernels}",
        f"  injection: {_injection_text(found['injection'], found['environment'])}",
        "  patches:",
    ]
    lines += [
        f"    {patch['name']:<20} {patch['target']:<12} {patch['state']}"
        + (f": {patch['reason']}" if patch["reason"] else "")
        for patch in found["patches"]
    ]
    by_reason: dict[str, list[str]] = {}
    for name, reason in found["provided_upstream"].items():
        by_reason.setdefault(reason, []).append(name)
    provided = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    if not found["import_error"]:
        lines.append("  upstream provides itself: " + ("; ".join(provided) or "none of this"))
    lines += [f"  {name}={value}" for name, value in found["environment"].items()]
    return "\n".join(lines)


def _tested(found: dict[str, Any]) -> str:
    if found["tested"]:
        return "yes, these versions of mindformers and mindspore together"
    stacks = "; ".join(", ".join(f"{name} {number}" for name, number in stack.items()) for stack in TESTED_STACKS)
    return f"not these versions together, but: {stacks}"


def _injection_text(injection: dict[str, Any], environment: dict[str, str]) -> str:
    if injection["active"]:
        text = f"active in every program started from here, by {', '.join(injection['ways'])}"
    elif injection["pth"] is None:
        text = f"not active: {startup.PTH} is not installed; programs import the shim, or `run` brings it in"
    else:
        value = environment.get("MF_QWEN3_PATCH")
        reason = f"MF_QWEN3_PATCH={value}" if value else "MF_QWEN3_PATCH is not set"
        text = f"not active: {reason} ({injection['pth']} is installed)"
    return text + ("; in interactive sessions by PYTHONSTARTUP" if injection["startup_file"] else "")
