"""``run PROGRAM``: start a Python program with the shim in it, without changing the program.

The program is not run from here: this process becomes it, by ``exec``, with the environment set. So
``__main__``, ``sys.argv``, ``sys.path``, signals and the exit code are the program's own, and its
children inherit the environment.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mf_qwen3_patch.activation.startup import with_injection

HELP = "run a Python program with the shim in it and in its children"
DESCRIPTION = (
    "Run a Python program as `python PROGRAM ARGUMENT ...` would, with mf_qwen3_patch active in it and in the Python "
    "processes that it starts."
)
EXAMPLES = (
    "{prog} run_mindformer.py --config predict_qwen3.yaml",
    "{prog} --cpu infer.py",
    "{prog} -m my.package",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, and all that follows them for the program."""
    parser.usage = "%(prog)s [--cpu] (PROGRAM | -m MODULE) [ARGUMENT ...]"
    parser.add_argument("--cpu", action="store_true", help="use the CPU stand-ins for kernels that only Ascend has")
    parser.add_argument("-m", dest="as_module", action="store_true", help="run a module instead of a file")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM [ARGUMENT ...]")


def run(arguments: argparse.Namespace) -> int:
    """Become the program; does not return. Raises ValueError without a program, or if the shim cannot get into it."""
    if not arguments.program:
        raise ValueError("which program shall run? Give a file, or -m and a module")
    environ = with_injection(os.environ)
    if arguments.cpu:
        environ["MF_QWEN3_PATCH_CPU"] = "1"
        environ.setdefault("ENFORCE_EAGER", "true")
    sys.stdout.flush()
    sys.stderr.flush()
    module_option = ["-m"] if arguments.as_module else []
    command = [sys.executable, *_interpreter_options(sys.orig_argv, sys.argv), *module_option, *arguments.program]
    os.execve(sys.executable, command, environ)


def _interpreter_options(orig_argv: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Return the options that Python itself was started with (``-X dev``, ``-u``, ...): what ``sys.argv`` lacks."""
    *options, program = orig_argv[1 : len(orig_argv) - len(argv) + 1]
    if program == "mf_qwen3_patch" and options:  # python -um mf_qwen3_patch
        flag = options.pop()[:-1]
        return [*options, flag] if flag.strip("-") else options
    return options
