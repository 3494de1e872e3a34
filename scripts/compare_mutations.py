"""Load mutated directories with the shim and with HuggingFace transformers, and compare the tokens.

python -m scripts.compare_mutations --count 1000 --oracle /path/to/python   # one with torch and transformers
python -m scripts.compare_mutations --count 40 --oracle ... --store         # what `make test` compares with

A directory must be refused by the shim, or give HuggingFace's tokens; it may load where HuggingFace refuses it. The
counts go to standard output; exit code 1 if the shim loaded one that gives other tokens,
or raised somebody else's error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.mutations import dump
from tests.support.processes import ROOT, run_script

STORED = ROOT / "tests/reference_data/mutations.json"
_CLOSE = 1e-3  # a lead of the best logit over the second that other arithmetic may turn round

_HUGGINGFACE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
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

SHIM = """
import json, sys, warnings
from pathlib import Path
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from mindformers import AutoModel
from tests.support.mutations import NEW_TOKENS, PROMPT, mutated

warnings.simplefilter("ignore")
found = {}
for seed, directory in mutated(Path(sys.argv[1]), json.loads(sys.argv[2])):
    try:
        model = AutoModel.from_pretrained(str(directory), torch_dtype="float32")
        tokens = model.generate([list(PROMPT)], max_new_tokens=NEW_TOKENS, do_sample=False)[0]
        found[seed] = [int(token) for token in tokens[len(PROMPT):]]
    except mf_qwen3_patch.Qwen3PatchError as error:
        found[seed] = error.code
    except Exception as error:
        found[seed] = f"foreign: {type(error).__name__}: {error}"
give(found)
"""


def verdict(shim: Any, huggingface: Any) -> str:
    """Judge a directory by what the shim made of it, and by HuggingFace's tokens with their smallest margin, if any."""
    if isinstance(shim, str):
        return "foreign" if shim.startswith("foreign") else "refused"
    if huggingface is None:
        return "only the shim loads it"
    tokens, margin = huggingface
    # MindFormers fills up with padding after the end.
    if shim[: len(tokens)] == tokens:
        return "same tokens"
    return "too close to tell" if margin < _CLOSE else "silent"


def main() -> int:
    """Compare, print the counts and what should not be; return 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many directories (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--oracle", default=sys.executable, help="a Python that has torch and transformers")
    parser.add_argument("--store", action="store_true", help=f"write HuggingFace's tokens into {STORED.name}, too")
    arguments = parser.parse_args()
    seeds = list(range(arguments.first, arguments.first + arguments.count))
    with tempfile.TemporaryDirectory() as scratch:
        place, answers = Path(scratch), Path(scratch, "answers.json")
        command = [arguments.oracle, "-c", _HUGGINGFACE, place / "hf", answers, ROOT, json.dumps(seeds)]
        subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
        wanted = json.loads(answers.read_text())
        shim = run_script(SHIM, place / "shim", json.dumps(seeds), cwd=place, timeout=24 * 3600).result
    verdicts = {seed: verdict(shim[seed], wanted[seed]) for seed in wanted}
    if arguments.store:
        dump(STORED, wanted)
    for name, count in Counter(verdicts.values()).most_common():
        print(f"{count:6} {name}")
    bad = [seed for seed, found in verdicts.items() if found in ("silent", "foreign")]
    for seed in bad:
        print(f"seed {seed}: {verdicts[seed]}: {shim[seed]}; HuggingFace: {wanted[seed]}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
