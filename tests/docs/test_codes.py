"""Every code is explained in both languages, every quoted message exists, and the other way round."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from tests.support.documents import documents
from tests.support.processes import ROOT

from mf_qwen3_patch import errors

PAGES = ("docs/troubleshooting.md", "docs/troubleshooting.zh.md")
SOURCE = ROOT / "src" / "mf_qwen3_patch"

# So many letters of a message must be in the source: enough to find it again.
_ENOUGH = 12


def sections(page: str) -> dict[str, str]:
    """Return the page's sections of second order: heading to text."""
    _, *parts = re.split(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def quoted(text: str) -> list[str]:
    """Return the messages in the first column of a section's table; without a table, what its text begins by quoting."""
    rows = re.findall(r"^\| (`.+?`) \|", text, flags=re.MULTILINE)
    if not rows:
        return re.findall(r"`([^`]+)`", text)[:1]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("page", PAGES)
def test_every_code_has_a_section_with_the_name_of_its_class(page: str) -> None:
    explained = {heading for heading in sections(page) if heading.startswith("MFQ")}

    assert explained == {f"{code} {name}" for name, code in errors.CODES.items()}


def test_no_document_speaks_of_a_code_that_does_not_exist() -> None:
    mentioned = {code for path in documents() for code in re.findall(r"\bMFQ\d+\b", path.read_text(encoding="utf-8"))}

    assert mentioned == set(errors.CODES.values())


@pytest.mark.parametrize("page", PAGES)
def test_what_a_class_derives_from_is_said_rightly(page: str) -> None:
    rows = re.findall(
        r"^\| \[MFQ\d+\].*\| `(\w+)` \| `(\w+)` \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE
    )

    assert {name for name, _ in rows} == set(errors.CODES)
    for name, builtin in rows:
        assert builtin in {base.__name__ for base in getattr(errors, name).__mro__}


def test_both_languages_quote_the_same_messages() -> None:
    english, chinese = ([quoted(text) for text in sections(page).values()] for page in PAGES)

    assert english == chinese


@cache
def literals() -> tuple[str, ...]:
    """Return the strings of the source, with a NUL where a value is put in."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
                found.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return tuple(found)


def in_order(pieces: list[str], text: str) -> bool:
    """Return whether the pieces are in the text, one after the other, and say enough."""
    pieces = [piece.strip() for piece in pieces if piece.strip()]
    pattern = ".*?".join(map(re.escape, pieces))
    return sum(map(len, pieces)) >= _ENOUGH and re.search(pattern, text, re.DOTALL) is not None


def is_in_the_source(message: str) -> bool:
    # The document leaves out what differs, or has an example where the source has a value.
    left_out = re.split(r"…|\bN\b", message)
    return any(in_order(left_out, literal) or in_order(literal.split("\0"), message) for literal in literals())


def test_every_quoted_message_is_in_the_source() -> None:
    ours = {heading: text for heading, text in sections(PAGES[0]).items() if "stock" not in heading}
    unknown = [message for text in ours.values() for message in quoted(text) if not is_in_the_source(message)]

    assert unknown == []
    assert not is_in_the_source("… says that the moon is made of cheese")


def test_the_source_raises_no_class_without_a_code() -> None:
    names = {
        node.exc.func.id
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    classes = {name for name in names & set(errors.__all__) if isinstance(getattr(errors, name), type)}

    assert {"ActivationError", "LoadNotProven"} <= classes <= set(errors.CODES)
