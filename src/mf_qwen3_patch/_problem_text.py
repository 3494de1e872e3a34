"""The text of problems: of one, and of many; those that have one cause are told together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mf_qwen3_patch._display import printable, short_json

if TYPE_CHECKING:
    from mf_qwen3_patch.errors import Problem

_TOLD_ONE_BY_ONE = 2  # so few problems of one cause are shown with all their values
_NAMED = 5  # of the others


def text_of(problem: Problem) -> str:
    """Return a problem in some lines, without its code."""
    lines = [printable(problem.summary)]
    where = [
        f"{label} {printable(value)}"
        for label, value in (
            ("file", problem.file),
            ("tensor", problem.tensor),
            ("parameter", problem.parameter),
            ("field", problem.field),
        )
        if value is not None
    ]
    if where:
        lines.append("where: " + ", ".join(where))
    values = [
        printable(f"{label}: {value if isinstance(value, str) else short_json(value)}")
        for label, value in (("expected", problem.expected), ("found", problem.found))
        if value is not None
    ]
    if values:
        lines.append(", ".join(values))
    if problem.advice is not None:
        lines.append(printable(f"to do: {problem.advice}"))
    return "\n".join(lines)


def groups_of(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Return the problems by cause, in order: alike are those that differ only in their names, numbers and values."""
    alike: dict[object, list[Problem]] = {}
    for problem in problems:
        alike.setdefault(_cause(problem), []).append(problem)
    groups: list[list[Problem]] = []
    for group in alike.values():
        groups += [group] if len(group) > _TOLD_ONE_BY_ONE else [[problem] for problem in group]
    return sorted(groups, key=lambda group: problems.index(group[0]))


def numbered_lines(problems: Sequence[Problem]) -> Iterator[str]:
    """Yield the lines of a numbered list of the problems, by cause, each with its code."""
    for number, (first, *others) in enumerate(groups_of(problems), start=1):
        head, *rest = f"[{first.code}] {text_of(first)}".split("\n")
        yield f"  {number}. {head}"
        yield from (f"     {line}" for line in rest + _more(others))


def text_of_all(problems: Sequence[Problem], subject: str | None) -> str:
    """Return the message of an error about ``subject`` that has these problems."""
    subject = printable(subject or "")
    place = f" in {subject}" if subject else ""
    groups = groups_of(problems)
    if len(groups) > 1:
        return "\n".join([f"{len(groups)} problems{place}:", *numbered_lines(problems)])
    first, *others = groups[0]
    head, *rest = text_of(first).split("\n")
    return "\n".join([head + (place if subject not in head else ""), *(f"  {line}" for line in rest + _more(others))])


def _cause(problem: Problem) -> object:
    text = f"{problem.summary}\n{problem.advice}"
    for name in sorted(filter(None, _names(problem)), key=len, reverse=True):
        text = text.replace(name, "*")
    return problem.kind, problem.field, re.sub(r"\d+", "#", text)


def _names(problem: Problem) -> tuple[str | None, ...]:
    return problem.file, problem.tensor, problem.parameter


def _more(others: Sequence[Problem]) -> list[str]:
    """Return a line that names the other problems of a group, if there are any."""
    if not others:
        return []
    names = [printable(_shown_name(problem))[:120] for problem in others[:_NAMED]]
    return [f"and {len(others)} more like it: {', '.join(names)}{', ...' if len(others) > _NAMED else ''}"]


def _shown_name(problem: Problem) -> str:
    """Return the name that the problem is about: the one in its summary."""
    names = [name for name in _names(problem) if name]
    return next((name for name in names if name in problem.summary), names[-1] if names else problem.summary)
