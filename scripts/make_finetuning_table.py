"""Make the documents' table of fine-tuning's load, stock next to the shim, from real runs.

    python -m scripts.make_finetuning_table            # run everything and write the table into the documents
    python -m scripts.make_finetuning_table --check    # run everything and compare

Each fault breaks a small HuggingFace directory. MindFormers' own functions load it in the trainer's order, in both
branches, each time in a process of its own with a time limit; every parameter is compared with the sound source.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.faults.breaking import SHARDS
from tests.faults.finetuning import FAULTS
from tests.support.checkpoints import write_checkpoint
from tests.support.documents import fill, outdated
from tests.support.finetuning import outcomes

BRANCHES = ("load_param_into_net", "load_distributed_checkpoint")
_SECONDS = 30  # a sound load takes less than 2
_HEAD = "| what is wrong | branch | stock | with `import mf_qwen3_patch` |\n|---|---|---|---|\n"


def make_table() -> str:
    """Run every fault through stock and the shim, in both branches; return the table as Markdown."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        sound = write_checkpoint(root / "sound", shards=SHARDS)
        cases: dict[str, dict[str, Any]] = {}
        for number, fault in enumerate(FAULTS):
            directory = write_checkpoint(root / f"hf_{number}", shards=SHARDS)
            fault.make(directory)
            for branch in BRANCHES:
                cases[f"{number} {branch}"] = {
                    "directory": directory,
                    "source": sound,
                    "config_directory": sound if fault.config_elsewhere else None,
                    "distributed": branch == BRANCHES[1],
                    "model_config": fault.model_config,
                    "output_dir": f"out_{number}_{branch}",
                }
        stock, shim = (outcomes(cases, root, shim=shim, seconds=_SECONDS) for shim in (False, True))
    rows = []
    for number, fault in enumerate(FAULTS):
        cells = {
            f"`{branch}`": f"{_cell(stock[f'{number} {branch}'])} | {_cell(shim[f'{number} {branch}'])}"
            for branch in BRANCHES
        }
        if len({*cells.values()}) == 1:
            cells = {"both": next(iter(cells.values()))}
        rows += [f"| {fault.title} | {branch} | {cell} |\n" for branch, cell in cells.items()]
    return _HEAD + "".join(rows)


def _cell(outcome: dict[str, Any]) -> str:
    if "hangs" in outcome:
        return "**hangs**"
    if "error" in outcome:
        head = outcome["message"].strip().splitlines()[0]
        code = head[1:7] + " " if head.startswith("[MFQ") else ""
        return f"{code}`{outcome['error']}`"
    wrong = len(outcome["wrong"])
    return f"**no error, {wrong} parameter{'' if wrong == 1 else 's'} wrong**" if wrong else "right"


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    arguments = parser.parse_args()
    table = make_table()
    if not arguments.check:
        fill("finetuning", table)
        return 0
    old = outdated("finetuning", table)
    for path in old:
        sys.stderr.write(f"the table in {path} is not what a run gives; see python -m scripts.make_finetuning_table\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
