"""Sections of the project's documents that scripts write, between two comments that name the script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.chinese_tables import in_chinese
from tests.support.processes import ROOT

DOCUMENTS = ("README.md", "README.zh-CN.md", "docs")


def documents() -> list[Path]:
    """Return every Markdown document of the project."""
    found = [ROOT / name for name in DOCUMENTS]
    files = [path for path in found if path.is_file()]
    return files + [file for path in found if path.is_dir() for file in sorted(path.rglob("*.md"))]


def is_chinese(path: Path) -> bool:
    """Return whether a document is the Chinese version of another one."""
    return path.name.endswith((".zh.md", ".zh-CN.md"))


def with_section(text: str, name: str, body: str) -> str:
    """Return ``text`` with ``body`` between ``<!-- name: made by … -->`` and ``<!-- end of name -->``, if it has them."""
    section = re.compile(rf"(<!-- {name}: made by [^\n]* -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    return section.sub(lambda match: f"{match[1]}\n{body.strip()}\n\n{match[2]}", text)


def _updates(name: str, body: str) -> Iterator[tuple[Path, str]]:
    """Yield the documents whose section ``name`` is another one, and what they should hold."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        updated = with_section(text, name, in_chinese(body) if is_chinese(path) else body)
        if updated != text:
            yield path, updated


def outdated(name: str, body: str) -> list[Path]:
    """Return the documents whose section ``name`` is not ``body``; in the Chinese ones, not that in Chinese."""
    return [path for path, _ in _updates(name, body)]


def fill(name: str, body: str) -> list[Path]:
    """Write ``body`` into the section ``name`` of every document that has it, in Chinese into the Chinese ones.

    Returns:
        The documents that have changed.
    """
    updates = dict(_updates(name, body))
    for path, updated in updates.items():
        path.write_text(updated, encoding="utf-8")
    return list(updates)
