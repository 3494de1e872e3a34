"""Make the documents' table of the matrix, models by releases, from what the last run of it left in ``.nox/results``.

    .ci/run && python -m scripts.make_matrix_table

Each row's last run counts; one of a part of the tests is marked.

A test that compares a model's tokens or logits with HuggingFace's records which model, by the property ``model``, and
on what it ran, by ``stack``; a cell says how many of them a row of the matrix has passed.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.documents import fill
from tests.support.processes import ROOT

RESULTS = ROOT / ".nox" / "results"
PARTIAL = RESULTS / "partial"


@dataclass
class Row:
    """What one row of the matrix gave; a column of the table.

    Attributes:
        title: The versions.
        passed: Model to how many of its tests passed.
        failed: Model to how many did not.
        outcomes: ``passed``, ``failed`` and ``skipped`` to the number of all tests.
    """

    title: str
    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)


def read_row(report: Path) -> Row:
    """Read a JUnit report."""
    row = Row(report.stem)
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        row.outcomes[outcome] += 1
        for item in case.iter("property"):
            if item.get("name") == "stack":
                row.title = str(item.get("value")).replace(", ", "<br>")
            if item.get("name") == "model" and outcome != "skipped":
                (row.passed if outcome == "passed" else row.failed)[str(item.get("value"))] += 1
    if report.parent == PARTIAL:
        row.title += "<br>without the sweeps"
    return row


def make_table(rows: list[Row]) -> str:
    """Return the table as Markdown."""
    models = sorted({model for row in rows for model in row.passed + row.failed})
    lines = [
        "| | " + " | ".join(row.title for row in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
        *(f"| {model} | " + " | ".join(_cell(row, model) for row in rows) + " |" for model in models),
        "| all tests | " + " | ".join(_summary(row) for row in rows) + " |",
    ]
    return "\n".join(lines)


def _cell(row: Row, model: str) -> str:
    if row.failed[model]:
        return f"✗ {row.failed[model]} of {row.failed[model] + row.passed[model]} wrong"
    return f"✓ {row.passed[model]}" if row.passed[model] else "–"


def _summary(row: Row) -> str:
    return ", ".join(f"{row.outcomes[name]} {name}" for name in ("passed", "failed", "skipped") if row.outcomes[name])


def main() -> int:
    """Write the table into the documents."""
    by_age = sorted([*RESULTS.glob("*.xml"), *PARTIAL.glob("*.xml")], key=lambda report: report.stat().st_mtime)
    reports = {report.stem: report for report in by_age}
    if not reports:
        sys.stderr.write(f"no results in {RESULTS}: run make test-matrix before\n")
        return 1
    fill("matrix", make_table([read_row(reports[name]) for name in sorted(reports)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
