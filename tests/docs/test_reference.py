"""Every variable and every option of the command line is documented, and no other."""

from __future__ import annotations

import argparse
import re

import pytest
from tests.support.processes import ROOT

from mf_qwen3_patch.activation.registry import PATCHES
from mf_qwen3_patch.cli import _exit_codes
from mf_qwen3_patch.cli import main as cli
from mf_qwen3_patch.cli._parser import Parser

PAGES = ("docs/reference/settings.md", "docs/reference/settings.zh.md")
READMES = ("README.md", "README.zh-CN.md")
VARIABLE = re.compile(r"\bMF_QWEN3_PATCH(?:_[A-Z]+)*\b")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rows(page: str) -> set[str]:
    """Return what stands in the first columns of the page's tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", text_of(page), re.MULTILINE))


@pytest.mark.parametrize("page", [*PAGES, *READMES])
def test_every_variable_has_a_row(page: str) -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").glob("*.pth")]
    used = {name for path in sources for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}

    assert "MF_QWEN3_PATCH_THREADS" in used
    assert {name for name in rows(page) if VARIABLE.fullmatch(name)} == used


@pytest.mark.parametrize("page", PAGES)
def test_every_patch_can_be_left_out_by_the_name_that_is_documented(page: str) -> None:
    (row,) = re.findall(r"^\| `MF_QWEN3_PATCH_DISABLE` \|(.*)\|$", text_of(page), re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", row)) == {patch.name for patch in PATCHES}


def subparsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    parser = Parser()
    commands = parser.add_subparsers()
    cli.add_commands(commands)
    return dict(commands.choices)


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_has_a_section_with_all_its_options(page: str) -> None:
    _, *parts = re.split(r"^### (.+)$", text_of(page), flags=re.MULTILINE)
    documented = {
        name: {option.split()[0] for option in re.findall(r"^\| `(-[^`]+)` \|", text, re.MULTILINE)}
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }

    assert documented == {name: options(parser) for name, parser in subparsers().items()}


@pytest.mark.parametrize("page", PAGES)
def test_the_exit_codes_are_those_of_the_command_line(page: str) -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text_of(page), re.MULTILINE)}

    assert documented == {value for name, value in vars(_exit_codes).items() if name.isupper() and type(value) is int}
