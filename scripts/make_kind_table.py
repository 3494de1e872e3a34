"""Make the documents' tables of the kinds of checkpoints, and of the faults of the special ones, from real loads.

python -m scripts.make_kind_table            # run everything and write the tables into the documents
python -m scripts.make_kind_table --check    # run everything and compare
"""

from __future__ import annotations

import mf_qwen3_patch  # isort: skip  # first, as the documentation says

mf_qwen3_patch.enable_cpu_kernels()

import argparse
import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.mindformers.loading.kinds import ENTRIES, KIND_FAULTS, KINDS, WRONG, Sample, outcome
from tests.support.documents import documents, fill, with_section

_HEAD = f"| | {' | '.join(entry.name for entry in ENTRIES)} |\n|---|{'---|' * len(ENTRIES)}\n"


def make_table(rows: Mapping[str, Callable[[Path], Sample]]) -> tuple[str, int]:
    """Return a table, and how many of its cells are loads that were wrong in silence."""
    lines, silent = [], 0
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (name, make) in enumerate(rows.items()):
            place = Path(scratch) / str(number)
            place.mkdir()
            sample = make(place)
            cells = [outcome(entry, sample, place) for entry in ENTRIES]
            silent += cells.count(WRONG)
            lines.append(f"| {name} | {' | '.join(cells)} |\n")
    return f"{_HEAD}{''.join(lines)}\n{len(rows) * len(ENTRIES)} loads; wrong in silence: {silent}.\n", silent


def main() -> int:
    """Write or check the tables; return 1 if one has changed, or if a load was wrong in silence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    check = parser.parse_args().check
    failed = False
    for section, rows in (("kinds", KINDS), ("kind_faults", KIND_FAULTS)):
        table, silent = make_table(rows)
        failed |= silent > 0
        if not check:
            fill(section, table)
            continue
        texts = [path.read_text(encoding="utf-8") for path in documents()]
        if any(text != with_section(text, section, table) for text in texts):
            failed = True
            sys.stderr.write(f"the table {section} is not what a run gives; see python -m scripts.make_kind_table\n")
    return 1 if failed else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # MindSpore's runtime has threads that outlive the interpreter.
    os._exit(code)
