"""Make the documents' table of fine-tuning's load, stock next to the shim, from real runs.

    python -m scripts.make_finetuning_table            # run everything and write the tables into the documents
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
from tests.support.documents import documents, fill, with_section
from tests.support.finetuning import outcomes

BRANCHES = ("load_param_into_net", "load_distributed_checkpoint")
_SECONDS = 30  # a sound load takes less than 2
_HEADS = {
    "finetuning": "| what is wrong | branch | stock | with `import mf_qwen3_patch` |\n|---|---|---|---|\n",
    "finetuning-zh": "| 问题 | 分支 | 原版 | `import mf_qwen3_patch` 之后 |\n|---|---|---|---|\n",
}
_WORDS = {
    "finetuning": ("right", "**hangs**", "**silent: {} of its parameters {} not the checkpoint's**"),
    "finetuning-zh": ("正确", "**挂起**", "**静默：{} 个参数不是检查点的值**"),
}
_BOTH = {"finetuning": "both", "finetuning-zh": "两者"}


def make_tables() -> dict[str, str]:
    """Run every fault through stock and the shim, in both branches; return the tables by section."""
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
        found = [outcomes(cases, root, shim=shim, seconds=_SECONDS) for shim in (False, True)]
    return {section: _HEADS[section] + "".join(_rows(section, *found)) for section in _HEADS}


def _rows(section: str, stock: dict[str, Any], shim: dict[str, Any]) -> list[str]:
    rows = []
    for number, fault in enumerate(FAULTS):
        title = fault.title if section == "finetuning" else fault.title_zh
        cells = {
            branch: f"{_cell(section, stock[f'{number} {branch}'])} | {_cell(section, shim[f'{number} {branch}'])}"
            for branch in BRANCHES
        }
        if len({*cells.values()}) == 1:
            cells = {_BOTH[section]: cells[BRANCHES[0]]}
        rows += [
            f"| {title} | {branch if branch in _BOTH.values() else f'`{branch}`'} | {cell} |\n"
            for branch, cell in cells.items()
        ]
    return rows


def _cell(section: str, outcome: dict[str, Any]) -> str:
    right, hangs, silent = _WORDS[section]
    if "hangs" in outcome:
        return hangs
    if "error" in outcome:
        head = outcome["message"].strip().splitlines()[0]
        code = head[1:7] + " " if head.startswith("[MFQ") else ""
        return f"{code}`{outcome['error']}`"
    wrong = len(outcome["wrong"])
    return silent.format(wrong, "is" if wrong == 1 else "are") if wrong else right


def main() -> int:
    """Write or check the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the documents instead of writing them")
    arguments = parser.parse_args()
    tables = make_tables()
    if not arguments.check:
        for section, table in tables.items():
            fill(section, table)
        return 0
    texts = {path: path.read_text(encoding="utf-8") for path in documents()}
    outdated = [p for p, text in texts.items() if any(with_section(text, *table) != text for table in tables.items())]
    for path in outdated:
        sys.stderr.write(f"the table in {path} is not what a run gives; see python -m scripts.make_finetuning_table\n")
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
