"""Load mutated directories with the shim and with HuggingFace transformers, and compare the tokens.

python -m scripts.compare_mutations --count 1000 --oracle /path/to/python   # one with torch and transformers
python -m scripts.compare_mutations --count 1000 --oracle ... --document     # and write the counts into the documents
python -m scripts.compare_mutations --count 40 --oracle ... --store          # what `make test` compares with

A directory must be refused by the shim, or give HuggingFace's tokens. It may load where HuggingFace refuses it, and
where the shim warns of what it assumes, the tokens may be others: releases of transformers differ there. The counts
go to standard output; exit code 1 if the shim loaded one that gives other tokens, or raised somebody else's error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support.documents import fill
from tests.support.mutations import ALONE, CLOSE, FOREIGN, REFUSED, SAME, SILENT, WARNED, dump, shim_outcomes, verdict
from tests.support.processes import ROOT

STORED = ROOT / "tests/reference_data/mutations.json"

_HUGGINGFACE = """
import json, sys
from pathlib import Path
sys.path[:0] = [sys.argv[3], sys.argv[3] + "/src"]
from tests.support import oracle
from tests.support.mutations import NEW_TOKENS, PROMPT, dump, mutated
found = {}
for seed, directory in mutated(Path(sys.argv[1]), json.loads(sys.argv[4])):
    try:
        (one,) = oracle.run(directory, [PROMPT], NEW_TOKENS)
        found[seed] = [one.tokens, one.smallest_margin]
    except Exception as error:
        found[seed] = None
dump(Path(sys.argv[2]), found)
"""


def make_table(counts: Counter[str], transformers: str) -> str:
    """Return the counts as Markdown."""
    columns = (REFUSED, SAME, ALONE, CLOSE, WARNED, SILENT, FOREIGN)
    return "\n".join(
        [
            f"{sum(counts.values())} mutated directories, compared with transformers {transformers}:",
            "",
            f"| {' | '.join(columns)} |",
            "|---" * len(columns) + "|",
            f"| {' | '.join(str(counts[column]) for column in columns)} |",
        ]
    )


def main() -> int:
    """Compare, print the counts and what should not be; return 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many directories (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--oracle", default=sys.executable, help="a Python that has torch and transformers")
    parser.add_argument("--store", action="store_true", help=f"write HuggingFace's tokens into {STORED.name}, too")
    parser.add_argument("--document", action="store_true", help="write the counts into the documents, too")
    arguments = parser.parse_args()
    seeds = list(range(arguments.first, arguments.first + arguments.count))
    with tempfile.TemporaryDirectory() as scratch:
        place, answers = Path(scratch), Path(scratch, "answers.json")
        command = [arguments.oracle, "-c", _HUGGINGFACE, place / "hf", answers, ROOT, json.dumps(seeds)]
        subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
        wanted = json.loads(answers.read_text())
        shim = shim_outcomes(seeds, place)
    verdicts = {seed: verdict(shim[seed], wanted[seed]) for seed in wanted}
    if arguments.store:
        dump(STORED, wanted)
    counts = Counter(verdicts.values())
    for name, count in counts.most_common():
        print(f"{count:6} {name}")
    if arguments.document:
        version = [arguments.oracle, "-c", "import transformers; print(transformers.__version__)"]
        found = subprocess.run(version, check=True, capture_output=True, text=True)
        fill("mutations", make_table(counts, found.stdout.strip()))
    bad = [seed for seed, found in verdicts.items() if found in (SILENT, FOREIGN)]
    for seed in bad:
        print(f"seed {seed}: {verdicts[seed]}: {shim[seed]}; HuggingFace: {wanted[seed]}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
