"""What a benchmark has measured, as rows of the documents' table: printed, and kept as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        what: What was measured.
        measured: The number with its unit, and its range.
        ratio: It, divided by what it is compared with.
    """

    what: str
    measured: str
    ratio: str = "–"


def seconds_of(times: Sequence[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(times):.2f} s ({min(times):.2f}–{max(times):.2f})"


def write(rows: Sequence[Row], path: Path | None) -> None:
    """Print the rows, and write them as JSON if there is a path."""
    for row in rows:
        print(f"{row.what}: {row.measured}  {row.ratio}")
    if path:
        path.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=2), encoding="utf-8")
