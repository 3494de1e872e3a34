"""``run PROGRAM``: start a program with the shim in it, without changing the program.

The program is not run from here: this process becomes it, by ``exec``, with the environment set. So
``__main__``, ``sys.argv``, ``sys.path``, signals and the exit code are the program's own, and its
children inherit the environment.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mf_qwen3_patch.activation.startup import with_injection

HELP = "run a program with the shim in it and in its Python children"
DESCRIPTION = (
    "Run a Python program as `python PROGRAM ARGUMENT ...` would, with mf_qwen3_patch active in it and in the Python "
    "processes that it starts. Another program, such as msrun or a shell script, is started as it is, and the shim is "
    "active in its Python processes."
)
EXAMPLES = (
    "{prog} run_mindformer.py --config predict_qwen3.yaml",
    "{prog} --cpu infer.py",
    "{prog} -m my.package",
    "{prog} msrun --worker_num=2 --local_worker_num=2 infer.py",
)

_PYTHON = re.compile(r"python(3(\.\d+)?)?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, and all that follows them for the program."""
    parser.usage = "%(prog)s [--cpu] (PROGRAM | -m MODULE | -c CODE) [ARGUMENT ...]"
    help_text = "run on the CPU: stand-ins for kernels that only Ascend has, and its device, mode and dtypes in a YAML"
    parser.add_argument("--cpu", action="store_true", help=help_text)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("-m", dest="as_module", action="store_true", help="run a module instead of a file")
    kinds.add_argument("-c", dest="as_code", action="store_true", help="run a piece of Python")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM [ARGUMENT ...]")


def run(arguments: argparse.Namespace) -> int:
    """Become the program; does not return. Raises ValueError without a program, or if the shim cannot get into it."""
    if not arguments.program:
        raise ValueError("which program shall run? Give a file, or -m and a module")
    environ = with_injection(os.environ)
    if arguments.cpu:
        environ["MF_QWEN3_PATCH_CPU"] = "1"
        environ.setdefault("ENFORCE_EAGER", "true")
    option = ["-m"] if arguments.as_module else ["-c"] if arguments.as_code else []
    options = _interpreter_options(sys.orig_argv, sys.argv)
    command = (
        [sys.executable, *options, *option, *arguments.program] if option else _command(arguments.program, options)
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, environ)


def _command(program: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return what to become: Python with a file, or another program, whose Python children get the shim.

    Raises FileNotFoundError for what is neither, ValueError for a program that can't be started so.
    """
    name, *rest = program
    path, python = Path(name), [sys.executable, *options]
    if path.is_file():
        if not (why_not := _not_python(path)):
            return [*python, *program]
        if not os.access(path, os.X_OK):
            raise ValueError(f"{name} is {why_not}, and not executable: chmod +x it, or type `run bash {name}`")
        return [str(path.absolute()), *rest]
    if _PYTHON.fullmatch(name):  # this Python: another one may lack the shim
        if not rest:
            raise ValueError("which program shall Python run? Leave `python` out, and give a file, or -m and a module")
        return [*python, *rest]
    if name == "-" or (path / "__main__.py").is_file() or (path.exists() and not path.is_dir()):
        return [*python, *program]
    if (found := shutil.which(name)) is not None:
        return [found, *rest]
    raise FileNotFoundError(f"{name} is no file here, and no command: check the path, or type -m before a module")


def _not_python(path: Path) -> str:
    """Return what a file is if it is no Python program, the empty string if it may be one."""
    with path.open("rb") as stream:
        first = stream.readline(256)
    if first.startswith(b"\x7fELF"):
        return "a binary program"
    if first.startswith(b"#!"):
        return "" if b"python" in first else f"a script for {first[2:].decode(errors='replace').strip()}"
    return "a shell script" if path.suffix in (".sh", ".bash") else ""


def _interpreter_options(orig_argv: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Return the options that Python itself was started with (``-X dev``, ``-u``, ...): what ``sys.argv`` lacks."""
    *options, program = orig_argv[1 : len(orig_argv) - len(argv) + 1]
    if program == "mf_qwen3_patch" and options:  # python -um mf_qwen3_patch
        flag = options.pop()[:-1]
        return [*options, flag] if flag.strip("-") else options
    return options
