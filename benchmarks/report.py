"""Writes what the benchmarks have measured into the documents, as tables.

Example:
    python benchmarks/load.py --dtype float32 float16 bfloat16 --json load.json
    python benchmarks/files.py --dir /somewhere/with/space --json files.json
    python -m benchmarks.report load.json files.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.load import LABELS, title
from tests.support.documents import fill


def make_table(measured: dict[str, Any]) -> str:
    """Return Markdown: one table, its lines grouped by checkpoint and dtype; ratios are the shim's over the other's."""
    lines = [
        (
            f"Measured {measured['date']} on {measured['machine']}, warm page cache where nothing else is said, "
            f"median (minimum–maximum) of {measured['runs']} alternating runs."
        ),
        "",
        (
            "| | load, s | build + load, s | peak, GB | over the parameters' size | disk, GB "
            "| shim's load / its | with the build |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for loaded, results in measured["results"].items():
        lines.append(f"| **{title(*loaded.split())}** | | | | | | | |")
        shim = results.get("shim") or results["shim_from_pretrained"]
        for name, result in results.items():
            ratios = (shim[key] / result[key] for key in ("median", "median_with_build"))
            lines.append(
                f"| {LABELS[name]} | {result['median']:.2f} ({result['min']:.2f}–{result['max']:.2f}) "
                f"| {result['median_with_build']:.2f} | {result['peak_bytes'] / 1e9:.2f} "
                f"| {result['extra_over_parameters']:+.0%} | {(result['device_bytes'] or 0) / 1e9:.2f} | "
                + " | ".join(f"{ratio:.2f}" for ratio in ratios)
                + " |"
            )
    return "\n".join(lines)


_SUMMARY = {"0.6B float32 warm": "bfloat16 → float32", "0.6B bfloat16 cold": "bfloat16 → bfloat16, cold disk"}
_COLUMNS = ("shim_from_pretrained", "stock", "huggingface", "direct_floor")


def make_summary(measured: dict[str, Any]) -> str:
    """Return a few lines of it as Markdown: seconds of build and load."""
    lines = ["| 0.6B, seconds | mf_qwen3_patch | stock | HuggingFace | direct reads alone |", "|---|---|---|---|---|"]
    for loaded, said in _SUMMARY.items():
        results = measured["results"][loaded]
        cells = (f"{results[name]['median_with_build']:.2f}" if name in results else "–" for name in _COLUMNS)
        lines.append(f"| {said} | {' | '.join(cells)} |")
    return "\n".join(lines)


def make_other_table(rows: list[dict[str, str]]) -> str:
    """Return what is no load, as Markdown."""
    lines = ["| | measured | in proportion |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row['what']} | {row['measured']} | {row['ratio']} |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, nargs="+", help="what the benchmarks have written with --json")
    files = [json.loads(path.read_text()) for path in parser.parse_args().measured]
    changed = []
    if loads := [file for file in files if "results" in file]:
        merged = loads[0] | {"results": {loaded: row for file in loads for loaded, row in file["results"].items()}}
        changed += fill("speed", make_table(merged))
        if _SUMMARY.keys() <= merged["results"].keys():
            changed += fill("speed in short", make_summary(merged))
    if rows := [row for file in files for row in file.get("rows", ())]:
        changed += fill("speed of files", make_other_table(rows))
    for path in changed:
        print(path)


if __name__ == "__main__":
    main()
