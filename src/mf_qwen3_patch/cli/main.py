"""Parses the command line and hands over to the command."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from mf_qwen3_patch._version import __version__
from mf_qwen3_patch.cli import check, convert, explain, export, run, selftest, startup_file, status
from mf_qwen3_patch.cli._exit_codes import INTERRUPTED, READER_GONE, REPORTED, USAGE, exit_code_for
from mf_qwen3_patch.cli._parser import Parser
from mf_qwen3_patch.cli._shared import print_error, redirect_stdout

# Each has a HELP, a DESCRIPTION, EXAMPLES, add_arguments(parser), and run(arguments), which returns the exit code.
_COMMANDS = (check, convert, explain, export, run, selftest, startup_file, status)
_PROGRAM = "mf-qwen3"
_MODULE = "python -m mf_qwen3_patch"


def add_commands(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add the parser of each command."""
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        examples = [example.format(prog=f"{_PROGRAM} {name}") for example in command.EXAMPLES]
        parser = subparsers.add_parser(name, help=command.HELP, description=command.DESCRIPTION, examples=examples)
        command.add_arguments(parser)
        parser.set_defaults(run=command.run)


def build_parser() -> Parser:
    """Build the parser of the whole command line."""
    parser = Parser(
        prog=_PROGRAM if Path(sys.argv[0]).name.startswith(_PROGRAM) else _MODULE,
        description="Tools for loading HuggingFace Qwen3 checkpoints into MindFormers.",
        examples=[
            f"{_PROGRAM} check ./Qwen3-8B          will this directory load?",
            f"{_PROGRAM} explain MFQ002            what an error means, and what to do",
            f"{_PROGRAM} run infer.py              run a program with the patches in it",
            f"{_PROGRAM} help convert              the options of a command",
        ],
    )
    parser.add_argument("--version", action="version", version=f"mf_qwen3_patch {__version__}")
    add_commands(parser.add_subparsers(title="commands", metavar="COMMAND", required=True))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv``, by default the process' own, asks for.

    Returns the exit code, see ``_exit_codes``.
    """
    _never_fail_to_print()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    # Words after `run` are the program's own.
    as_json = "--json" in words and words[0] != "run"
    try:
        arguments = build_parser().parse_args(words)
    except SystemExit as stop:  # argparse has printed its message
        code = stop.code if isinstance(stop.code, int) else USAGE
        if code and as_json:
            print_error(ValueError("wrong usage; the message is on standard error"), code, as_json=True)
        return code
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; keep Python from complaining at exit.
        redirect_stdout(None)
        return READER_GONE
    except REPORTED as error:
        code = exit_code_for(error)
        print_error(error, code, as_json=as_json)
    return code


def _never_fail_to_print() -> None:
    """Let what standard output's encoding lacks be escaped, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def console() -> int:
    """Run ``main`` as the whole of a process: what libraries still write to standard output at exit is kept away."""
    code = main()
    redirect_stdout(None)
    return code


def run_main() -> int:
    """Run ``run`` by the shorter name of the console command ``mf-qwen3-run``."""
    return main(["run", *sys.argv[1:]])
