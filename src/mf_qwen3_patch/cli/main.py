"""Parses the command line and hands over to the command."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from mf_qwen3_patch._display import printable
from mf_qwen3_patch.cli import check, convert, export, run, selftest, startup_file, status
from mf_qwen3_patch.errors import Qwen3PatchError

# Each has a HELP and a DESCRIPTION, add_arguments(parser), and run(arguments), which returns the exit code.
_COMMANDS = (check, convert, export, run, selftest, startup_file, status)
_USAGE = 2
_LINE_BREAK = "\n"
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of each command."""
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        parser = subparsers.add_parser(name, help=command.HELP, description=command.DESCRIPTION)
        command.add_arguments(parser)
        parser.set_defaults(run=command.run)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv``, by default the process' own, asks for.

    Returns the exit code: 0 all is well, 1 the command found problems, 2 wrong usage, 130 interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m mf_qwen3_patch",
        description="Tools for loading HuggingFace Qwen3 checkpoints into MindFormers.",
    )
    _never_fail_to_print()
    add_commands(parser.add_subparsers(title="commands", metavar="COMMAND", required=True))
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed its message
        return stop.code if isinstance(stop.code, int) else _USAGE
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Qwen3PatchError, OSError, ImportError, ValueError) as error:
        print(f"error: {printable(str(error), keep=_LINE_BREAK)}", file=sys.stderr)
        return _USAGE
    return code


def _never_fail_to_print() -> None:
    """Let what standard output's encoding lacks be escaped, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def run_main() -> int:
    """Run ``run`` by the shorter name of the console command ``mf-qwen3-run``."""
    return main(["run", *sys.argv[1:]])
