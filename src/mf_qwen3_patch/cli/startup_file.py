"""``startup-file``: where the file is that PYTHONSTARTUP shall point at."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mf_qwen3_patch.activation.startup import startup_file

HELP = "print the file that PYTHONSTARTUP shall point at"
DESCRIPTION = (
    "Print the path for PYTHONSTARTUP. Python reads PYTHONSTARTUP in interactive sessions only; for scripts use `run`, "
    "or MF_QWEN3_PATCH=1. A startup file of your own goes on working if you name it in MF_QWEN3_PATCH_STARTUP_NEXT."
)
EXAMPLES = ('export PYTHONSTARTUP="$({prog})"',)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add none."""


def run(arguments: argparse.Namespace) -> int:
    """Print the path; on stderr, how to keep a startup file that is in use."""
    path = startup_file()
    present = os.environ.get("PYTHONSTARTUP")
    if present and Path(present) != path and not os.environ.get("MF_QWEN3_PATCH_STARTUP_NEXT"):
        print(f"to go on using {present}, set MF_QWEN3_PATCH_STARTUP_NEXT={present}", file=sys.stderr)
    print(path)
    return 0
