"""Make the documents' table of faults by entry, from real runs.

python -m scripts.make_entry_table            # run everything and write the table into the documents
python -m scripts.make_entry_table --check    # run everything and compare
"""

from __future__ import annotations

import mf_qwen3_patch  # isort: skip  # first, as the documentation says

mf_qwen3_patch.enable_cpu_kernels()

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from tests.mindformers.loading.entries import CASES, ENTRIES, FAULTS, RIGHT, WRONG, EntryFault, good_directory, outcome
from tests.support.documents import fill, outdated

_NOTHING = EntryFault("nothing is wrong", lambda _: None)


def make_table() -> tuple[str, int]:
    """Return the table, and how many of its cells are loads that were wrong in silence."""
    numbers = range(1, len(ENTRIES) + 1)
    lines = [f"{number}. {entry.name}" for number, entry in zip(numbers, ENTRIES, strict=True)]
    lines += ["", "| | " + " | ".join(map(str, numbers)) + " |", "|---|" + "---|" * len(ENTRIES)]
    silent = 0
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        root = Path(scratch)
        source = good_directory(root)
        for row, fault in enumerate((_NOTHING, *FAULTS)):
            cells = []
            for column, entry in enumerate(ENTRIES):
                if fault is not _NOTHING and (entry, fault) not in CASES:
                    cells.append("–")
                    continue
                place = root / f"{row}-{column}"
                place.mkdir()
                found = outcome(entry, fault, source, place)
                silent += found.verdict == WRONG
                cells.append("right, warned" if found.verdict == RIGHT and found.message else found.verdict)
            lines.append(f"| {fault.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{len(CASES) + len(ENTRIES)} loads; wrong in silence: {silent}.\n", silent


def main() -> int:
    """Write or check the table; return 1 if it has changed, or if a load was wrong in silence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    arguments = parser.parse_args()
    table, silent = make_table()
    if not arguments.check:
        fill("entries", table)
        return 1 if silent else 0
    old = outdated("entries", table)
    if old:
        sys.stderr.write("the table of entries is not what a run gives; see python -m scripts.make_entry_table\n")
    return 1 if old or silent else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # MindSpore's runtime has threads that outlive the interpreter.
    os._exit(code)
