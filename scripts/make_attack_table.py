"""Make the documents' table of attacked directories, from real runs of every command and entry.

python -m scripts.make_attack_table            # run everything and write the table into the documents
python -m scripts.make_attack_table --check    # run everything and compare
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.support.attacks import ATTACKS
from tests.support.audited import ENTRIES, FOREIGN, HANGING, REFUSED, RIGHT, SILENT, SOUND, STOCK, Outcome, run_attacks
from tests.support.documents import documents, fill, with_section
from tests.support.processes import ROOT

_FORBIDDEN = "forbidden"


def make_table(outcomes: Iterable[Outcome]) -> tuple[str, int]:
    """Return the table, and how many of the outcomes are none that may be."""
    columns = (RIGHT, REFUSED, STOCK, SILENT, FOREIGN, HANGING, _FORBIDDEN)
    counts = {attack.kind: Counter[str]() for attack in ATTACKS}
    bad = 0
    for outcome in outcomes:
        attack = ATTACKS[outcome.attack]
        counts[attack.kind].update(["tried", outcome.verdict, *([_FORBIDDEN] if outcome.forbidden else [])])
        if outcome.forbidden or outcome.verdict not in SOUND:
            bad += 1
            what = f"{outcome.entry}: {attack.kind}, {attack.name}: {outcome.verdict} {outcome.forbidden}"
            sys.stderr.write(f"{what}\n{outcome.detail}\n")
    total = sum(counts.values(), Counter[str]())
    lines = [f"| | tried | {' | '.join(columns)} |", "|---|" + "---|" * (1 + len(columns))]
    for kind, found in [*counts.items(), ("**all**", total)]:
        lines.append(f"| {kind} | " + " | ".join(str(found[column]) for column in ("tried", *columns)) + " |")
    return f"{len(ATTACKS)} attacks, {len(ENTRIES)} entries: {', '.join(ENTRIES)}.\n\n" + "\n".join(lines) + "\n", bad


def main() -> int:
    """Write or check the table; return 1 if it has changed, or if an outcome is none that may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        table, bad = make_table(run_attacks(ROOT / "src/mf_qwen3_patch/micro_qwen3", Path(scratch)))
    if not arguments.check:
        fill("attacks", table)
        return 1 if bad else 0
    texts = [path.read_text(encoding="utf-8") for path in documents()]
    outdated = any(text != with_section(text, "attacks", table) for text in texts)
    if outdated:
        sys.stderr.write("the table of attacks is not what a run gives; see python -m scripts.make_attack_table\n")
    return 1 if outdated or bad else 0


if __name__ == "__main__":
    sys.exit(main())
