"""Color, where there is a terminal that wants it."""

from __future__ import annotations

import os
from typing import Literal, TextIO, TypeAlias

Color: TypeAlias = Literal["bold", "green", "red", "yellow"]
_CODES: dict[Color, str] = {"bold": "1", "green": "32", "red": "31", "yellow": "33"}


def paint(text: str, color: Color, file: TextIO) -> str:
    """Return ``text`` in a color if ``file`` is a terminal; as it is under NO_COLOR or a dumb terminal."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not file.isatty():
        return text
    return f"\033[{_CODES[color]}m{text}\033[0m"
