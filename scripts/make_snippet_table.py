"""Make the documents' table of MindFormers' own ways to predict, stock next to the shim, from real runs.

    python -m scripts.make_snippet_table            # run everything and write the table into the documents
    python -m scripts.make_snippet_table --check    # run everything and compare

Each snippet runs as it is typed, on the CPU with its stand-ins for Ascend's kernels, in a process of its own with a
time limit; what it says is compared with what HuggingFace transformers has said.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.documents import fill, outdated
from tests.support.snippets import MICRO, RIGHT, SNIPPETS, Snippet, outcomes

_HEAD = "| what is typed | stock | with `import mf_qwen3_patch` |\n|---|---|---|\n"
_LONGEST = 160


def make_table() -> str:
    """Run every snippet on stock and with the shim; return the table as Markdown."""
    with tempfile.TemporaryDirectory() as scratch:
        both = []
        for shim in (False, True):
            (place := Path(scratch) / str(shim)).mkdir()
            both.append(outcomes(SNIPPETS, place, shim=shim))
    rows = (f"| {one.name} | {' | '.join(_cell(one, found[one.name]) for found in both)} |\n" for one in SNIPPETS)
    return _HEAD + "".join(rows)


def _cell(snippet: Snippet, outcome: dict[str, Any]) -> str:
    if "hangs" in outcome:
        return "**hangs**"
    if "error" in outcome:
        return f"`{outcome['error']}`: {_first_line(outcome['message'])}"
    return RIGHT if outcome["said"] == snippet.says else "**no error, wrong tokens**"


def _first_line(message: str) -> str:
    """Take the first line, without what differs from run to run and from machine to machine."""
    line = message.strip().splitlines()[0].replace(str(MICRO), "DIR")
    line = re.sub(r"0x[0-9a-f]+", "0x…", line).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    arguments = parser.parse_args()
    table = make_table()
    if not arguments.check:
        fill("snippets", table)
        return 0
    old = outdated("snippets", table)
    for path in old:
        sys.stderr.write(f"the table in {path} is not what a run gives; see python -m scripts.make_snippet_table\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
