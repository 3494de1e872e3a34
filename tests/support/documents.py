"""Sections of the project's documents that scripts write, between two comments that name the script."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.processes import ROOT

DOCUMENTS = ("README.md", "README.zh-CN.md", "docs")


def documents() -> list[Path]:
    """Return every Markdown document of the project."""
    found = [ROOT / name for name in DOCUMENTS]
    files = [path for path in found if path.is_file()]
    return files + [file for path in found if path.is_dir() for file in sorted(path.rglob("*.md"))]


def with_section(text: str, name: str, body: str) -> str:
    """Return ``text`` with ``body`` between ``<!-- name: made by … -->`` and ``<!-- end of name -->``, if it has them."""
    section = re.compile(rf"(<!-- {name}: made by [^\n]* -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    return section.sub(lambda match: f"{match[1]}\n{body.strip()}\n\n{match[2]}", text)


def fill(name: str, body: str) -> list[Path]:
    """Write ``body`` into the section ``name`` of every document that has it.

    Returns:
        The documents that have changed.
    """
    changed = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        updated = with_section(text, name, body)
        if updated != text:
            path.write_text(updated, encoding="utf-8")
            changed.append(path)
    return changed
