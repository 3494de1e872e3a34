"""``explain CODE``: the entry of the troubleshooting page, offline."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import mf_qwen3_patch
from mf_qwen3_patch._nearest import did_you_mean
from mf_qwen3_patch.cli._terminal import paint
from mf_qwen3_patch.errors import CODES

HELP = "explain the code of an error or a warning, and what to do"
DESCRIPTION = (
    "Show what the troubleshooting page says of a code, without a network. Without CODE, list all codes. "
    "The language is that of the locale, or --lang."
)
EXAMPLES = ("{prog} MFQ002", "{prog} IncompleteCheckpoint --lang zh", "{prog}")

_PAGES = {"en": "troubleshooting.md", "zh": "troubleshooting.zh.md"}
_ROW = re.compile(r"^\| (.*) \|$")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the code and the language."""
    parser.add_argument("code", metavar="CODE", nargs="?", help="a code such as MFQ002, or the name of its class")
    parser.add_argument("--lang", choices=tuple(_PAGES), default=None, help="default: what the locale says, or en")


def run(arguments: argparse.Namespace) -> int:
    """Print the entry, or the list of codes. Raises ValueError for an unknown code."""
    page = read_page(arguments.lang or _language())
    heading, text = (None, _list_of_codes(page)) if arguments.code is None else _section(page, arguments.code)
    if heading is not None:
        print(paint(heading, "bold", sys.stdout))
    print("\n".join(_as_text(text)))
    return 0


def read_page(language: str) -> str:
    """Return the troubleshooting page: the one packaged in the wheel, or the one of the source tree."""
    package = Path(mf_qwen3_patch.__file__).parent
    # A wheel has the pages beside the modules; a source tree, and an editable installation of it, has them in docs.
    places = (package / "troubleshooting", package.parents[1] / "docs")
    path = next((path for place in places if (path := place / _PAGES[language]).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{_PAGES[language]} is not in {package}: install mf_qwen3_patch again")
    return path.read_text(encoding="utf-8")


def _language() -> str:
    value = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "zh" if value.lower().startswith("zh") else "en"


def _section(page: str, asked: str) -> tuple[str, str]:
    """Return heading and text of the section of a code or a class."""
    code = CODES.get(asked, asked.upper())
    found = re.search(rf"^## ({re.escape(code)} .*)\n((?:(?!## ).*\n?)*)", page, re.MULTILINE)
    if found is None:
        near = did_you_mean(asked, [*CODES.values(), *CODES])
        raise ValueError(f"there is no code {asked!r}{near or '; without CODE, explain lists all codes'}")
    return found[1], found[2].strip()


def _list_of_codes(page: str) -> str:
    return "\n".join(line for line in page.splitlines() if line.startswith("| [MFQ"))


def _as_text(markdown: str) -> Iterator[str]:
    """Yield the lines of a section: a row becomes its first cell, and the others below it."""
    lines = [_LINK.sub(r"\1", line) for line in markdown.splitlines()]
    for number, line in enumerate(lines):
        row = _ROW.match(line)
        is_header = lines[number + 1 : number + 2] == ["|" + "---|" * (line.count("|") - 1)]
        if row is None:
            if not re.fullmatch(r"\|(-+\|)+", line):
                yield line
        elif not is_header:
            first, *others = row[1].split(" | ")
            if first.startswith("MFQ"):
                yield "  ".join([first, f"{others[0].strip('`'):<22}", others[-1]])
            else:
                yield first
                yield f"    {'; '.join(others)}"
