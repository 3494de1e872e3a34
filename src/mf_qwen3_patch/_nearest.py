"""The name that a misspelled one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice nearest to a word, whatever its case, None if none is near."""
    by_lower_case = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return by_lower_case[near[0]] if near else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``; did you mean NAME?`` for the choice nearest to a misspelled word, or nothing."""
    near = nearest(word, choices)
    return f"; did you mean {near}?" if near else ""
