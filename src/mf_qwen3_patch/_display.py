"""How values and names that come from files are shown: short, on one line, without control characters.

Whoever made a checkpoint chose its names: of tensors, keys, shards and other files. Printed raw, an escape sequence in
one of them clears the screen, and a line break forges a line of a log.
"""

from __future__ import annotations

import reprlib

_LONGEST = 80  # characters of a value

_repr = reprlib.Repr()
_repr.maxlevel = 3
_repr.maxdict = _repr.maxlist = _repr.maxtuple = 8
_repr.maxstring = _repr.maxother = _LONGEST


def short_repr(value: object, most: int = _LONGEST) -> str:
    """Return ``repr(value)``, cut to ``most`` characters; no more than that is ever made of a value, however nested."""
    return _repr.repr(value)[:most]


def printable(text: str, keep: str = "") -> str:
    r"""Return ``text`` with ``\x1b``, ``\u202e``, ... in place of what is not printable and not in ``keep``.

    Control characters, line breaks, directional marks and lone surrogates are not; Chinese is.
    """
    if text.isprintable():
        return text
    return "".join(_visible(char) if not (char.isprintable() or char in keep) else char for char in text)


def _visible(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
