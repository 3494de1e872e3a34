"""Commands and code in the documents: each command exists and takes these options, each piece of code is Python."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from scripts.make_api_page import make_page
from tests.support.documents import documents
from tests.support.processes import ROOT

import mf_qwen3_patch
from mf_qwen3_patch.cli import main as cli
from mf_qwen3_patch.cli._parser import Parser

DOCUMENTS = [*documents(), ROOT / "CONTRIBUTING.md", ROOT / "RELEASE.md"]
# What they may do in a document; their options are their own business.
OTHER_PROGRAMS = {
    "docker": {"build"},
    "git": {"push", "tag"},
    "pip": {"download", "install", "uninstall", "wheel"},
    "pre-commit": {"install"},
}


def blocks(path: Path, language: str) -> list[str]:
    found = re.findall(
        rf"^( *)```{language}\b[^\n]*\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return ["\n".join(line.removeprefix(indent) for line in block.split("\n")) for indent, block in found]


def commands(path: Path) -> list[list[str]]:
    """Return the commands of the document as words, without comments, brackets and variables in front."""
    lines = [line for block in blocks(path, "sh") for line in block.replace("\\\n", "").splitlines() if line.strip()]
    words = [shlex.split(re.sub(r"[\[\]]", "", line), comments=True) for line in lines]
    return [list(drop_variables(command)) for command in words]


def drop_variables(words: list[str]) -> list[str]:
    return words[1:] if re.fullmatch(r"[A-Z_0-9]+=.*", words[0]) else words


def parser() -> Parser:
    result = Parser(exit_on_error=False)
    subparsers = result.add_subparsers(required=True)
    cli.add_commands(subparsers)
    return result


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_can_be_typed_like_that(path: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for called, *arguments in commands(path):
        # Either from PATH or from a venv.
        program = called.rpartition("/bin/")[2]
        if arguments[:2] == ["-m", "mf_qwen3_patch"] and arguments[2] != "COMMAND":
            parser().parse_args(arguments[2:])
        elif program == "mf-qwen3" and arguments != ["COMMAND"]:
            parser().parse_args(arguments)
        elif arguments[0] == "-m" and arguments[1].startswith("scripts."):
            assert (ROOT / arguments[1].replace(".", "/")).with_suffix(".py").is_file()
        elif program == "make":
            assert set(arguments) <= {*targets}
        elif program in OTHER_PROGRAMS:
            assert arguments[0] in OTHER_PROGRAMS[program]
        elif program == "python" and not arguments[0].startswith("-"):
            assert (ROOT / arguments[0]).is_file()
        else:
            assert program == "msrun" or arguments[:2] == ["-m", "venv"] or "COMMAND" in arguments, (
                f"unknown command: {program} {arguments}"
            )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_piece_of_code_is_python(path: Path) -> None:
    for block in blocks(path, "python"):
        ast.parse(block)


def test_there_are_commands_to_look_at() -> None:
    assert sum(len(commands(path)) for path in DOCUMENTS) > 20


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_source_file_that_is_named_is_there(path: Path) -> None:
    named = re.findall(r"`([\w/]+/\w+\.py)`", path.read_text(encoding="utf-8"))
    missing = [name for name in named if not any((top / name).is_file() for top in (ROOT, ROOT / "src/mf_qwen3_patch"))]

    assert missing == []


def test_the_api_page_shows_the_public_names_and_nothing_else() -> None:
    page = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    assert page == make_page()
    listed = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert len(listed) == len([name for name in mf_qwen3_patch.__all__ if name != "__version__"])
    for path in listed:
        place = ROOT / "src" / path.replace(".", "/")
        module = ast.parse(
            place.parent.with_suffix(".py").read_text(encoding="utf-8")
            if place.parent.with_suffix(".py").is_file()
            else (place.parent / "__init__.py").read_text(encoding="utf-8")
        )
        names = {getattr(node, "name", "") for node in module.body}
        names |= {
            node.target.id
            for node in module.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        assert place.name in names, path
