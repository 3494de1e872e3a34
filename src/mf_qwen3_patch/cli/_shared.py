"""Parts that several commands have: arguments, and standard output."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import mf_qwen3_patch
from mf_qwen3_patch._installed import installed_versions
from mf_qwen3_patch._log import LOGGER
from mf_qwen3_patch.activation.upstream import is_tested
from mf_qwen3_patch.checkpoint.files.not_found import did_you_mean
from mf_qwen3_patch.checkpoint.location.hub import is_hub_id
from mf_qwen3_patch.checkpoint.location.resolve import Location
from mf_qwen3_patch.checkpoint.writing.safetensors_writer import parse_size
from mf_qwen3_patch.cli._terminal import paint
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint, Qwen3PatchError

if TYPE_CHECKING:
    from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import Written

SCHEMA_VERSION = 1
"""Of every JSON object that a command prints; raised when a key is renamed or removed, not when one is added."""


def positive_int(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 6 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def positive_number(text: str) -> float:
    """Read a number larger than 0."""
    if not text.isascii() or not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number larger than 0")
    return float(text)


def shard_size(text: str) -> int:
    """Read a size, see ``parse_size``."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_shard_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-shard-size``."""
    help_text = "of one weight file, unless a single tensor is larger (default: 5GB)"
    parser.add_argument("--max-shard-size", metavar="SIZE", type=shard_size, default="5GB", help=help_text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


@contextmanager
def stdout_for_us_alone() -> Iterator[TextIO]:
    """Give out standard output, and keep what others write to it away; with MF_QWEN3_PATCH_LOG=debug on stderr.

    MindFormers logs to stdout, MindSpore's C++ writes there past ``sys.stdout``; one line of theirs and ``--json`` is
    no JSON any more. MindSpore's own log on stderr is set to errors, unless GLOG_v says otherwise.
    """
    sys.stdout.flush()
    wanted = LOGGER.isEnabledFor(logging.DEBUG)
    if not wanted:
        os.environ.setdefault("GLOG_v", "3")
    with os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors) as ours:
        redirect_stdout(2 if wanted else None)
        try:
            yield ours
        finally:
            sys.stdout.flush()
            ours.flush()
            redirect_stdout(ours.fileno())


def redirect_stdout(target: int | None) -> None:
    """Let file descriptor 1 be another one, or lead nowhere."""
    if target is not None:
        os.dup2(target, 1)
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def print_json(found: Mapping[str, Any], file: TextIO) -> None:
    """Print one JSON object with the version of its schema."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **found}, ensure_ascii=False), file=file)


def print_error(error: Exception, code: int, *, as_json: bool) -> None:
    """Say on stderr why a command ends, or as JSON on standard output."""
    if not as_json:
        print(f"{paint('error:', 'red', sys.stderr)} {error}", file=sys.stderr)
        if isinstance(error, Qwen3PatchError) and error.code:
            print(f"`mf-qwen3 explain {error.code}` says more", file=sys.stderr)
        return
    found: dict[str, Any] = {"kind": type(error).__name__, "message": str(error), "exit_code": code}
    if isinstance(error, CheckpointError):
        found["problems"] = [problem.as_dict() for problem in error.problems]
    print_json({"error": found}, sys.stdout)


def in_cache(name: str) -> str:
    """Return where a cache has the model of a hub ID; what is there, or in no cache, is returned as it is."""
    if Path(name).exists() or not is_hub_id(name):
        return name
    try:
        return str(Location(name, local_files_only=True).find().path)
    except IncompleteCheckpoint:
        return name


@contextmanager
def resumable(source: str, contents: str, target: str) -> Iterator[TextIO]:
    """Give out standard output if ``source`` is a directory, and say on Ctrl-C that nothing is lost."""
    with stdout_for_us_alone() as stdout:
        if not Path(source).is_dir():
            advice = did_you_mean(Path(source)) or "check the path"
            raise NotADirectoryError(f"{source} is not a directory with {contents}: {advice}")
        try:
            yield stdout
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on with what is whole in {target}.partial", file=sys.stderr)
            raise


def print_written(written: Written, file: TextIO, contents: str, *more: str, use: str = "") -> None:
    """Say what is in a directory that a command has made, how to use it, and more; nothing new if it was there."""
    if written.already:
        print(f"{written.directory} is there, whole, and made from the same source: nothing to do", file=file)
        return
    lines = [f"{written.directory}: {contents}, {len(written.files)} files, {written.nbytes / 1e9:.2f} GB"]
    if use:
        lines.append(use)
    if written.kept:
        lines.append(f"  {written.kept} of the files were whole already and are kept")
    print(*lines, *more, sep="\n", file=file)


def installation() -> dict[str, Any]:
    """Return the versions of everything that matters."""
    versions = installed_versions()
    return {
        "mf_qwen3_patch": mf_qwen3_patch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "tested": is_tested(versions),
    }


def packages(versions: Mapping[str, str | None]) -> str:
    """Return the versions of packages as a line of text."""
    return "  packages: " + ", ".join(f"{name} {number or 'not installed'}" for name, number in versions.items())
