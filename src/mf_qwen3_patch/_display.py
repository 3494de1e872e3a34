"""How values and names that come from files are shown: short, on one line, without control characters.

Whoever made a checkpoint chose its names: of tensors, keys, shards and other files. Printed raw, an escape sequence in
one of them clears the screen, and a line break forges a line of a log.
"""

from __future__ import annotations

import json
import reprlib

_LONGEST = 80  # characters of a value


class _JsonRepr(reprlib.Repr):
    """Writes values as JSON does, so that one finds in the file what a message shows."""

    def repr_str(self, x: str, level: int) -> str:
        """Return a string in double quotes."""
        return json.dumps(x[: self.maxstring], ensure_ascii=False)

    def repr_bool(self, x: bool, level: int) -> str:
        """Return true or false."""
        return json.dumps(x)

    def repr_NoneType(self, x: None, level: int) -> str:
        """Return null."""
        return "null"


def _bounded(made: reprlib.Repr) -> reprlib.Repr:
    made.maxlevel = 3
    made.maxdict = made.maxlist = made.maxtuple = 8
    made.maxstring = made.maxother = _LONGEST
    return made


_repr, _json = _bounded(reprlib.Repr()), _bounded(_JsonRepr())


def short_repr(value: object, most: int = _LONGEST) -> str:
    """Return ``repr(value)``, cut to ``most`` characters; no more than that is ever made of a value, however nested."""
    return _repr.repr(value)[:most]


def short_json(value: object, most: int = _LONGEST) -> str:
    """Return a value of a JSON or YAML file as JSON writes it, such as ``null`` or ``true``; cut as well."""
    return _json.repr(list(value) if isinstance(value, tuple) else value)[:most]


def json_kind(value: object) -> str:
    """Return what JSON calls the kind of a value: ``a string``, ``a map``, ``null``, ..."""
    if value is None:
        return "null"
    kinds = ((bool, "a boolean"), (str, "a string"), ((int, float), "a number"), (list, "a list"), (dict, "a map"))
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def printable(text: str, keep: str = "") -> str:
    r"""Return ``text`` with ``\x1b``, ``\u202e``, ... in place of what is not printable and not in ``keep``.

    Control characters, line breaks, directional marks and lone surrogates are not; Chinese is.
    """
    if text.isprintable():
        return text
    return "".join(_visible(char) if not (char.isprintable() or char in keep) else char for char in text)


def _visible(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
