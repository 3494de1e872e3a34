"""The shape of a problem with one field of a config."""

from __future__ import annotations

from mf_qwen3_patch.errors import CheckpointError, Problem


def field_problem(
    kind: type[CheckpointError], source: str, field: str, summary: str, expected: str, found: object, advice: str
) -> Problem:
    """Return a problem with a field of ``source``, the name with which the sentence begins."""
    return Problem(kind, f"{source} {summary}", file=source, field=field, expected=expected, found=found, advice=advice)
