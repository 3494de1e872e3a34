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
    runs = {len(result["runs"]) for results in measured["results"].values() for result in results.values()}
    lines = [
        (
            f"Measured {measured['date']} on {measured['machine']}, warm page cache where nothing else is said, "
            f"median (minimum–maximum) of {min(runs)} to {max(runs)} alternating runs."
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
            disk = result["device_bytes"]
            lines.append(
                f"| {LABELS[name]} | {result['median']:.2f} ({result['min']:.2f}–{result['max']:.2f}) "
                f"| {result['median_with_build']:.2f} | {result['peak_bytes'] / 1e9:.2f} "
                f"| {result['extra_over_parameters']:+.0%} | {'–' if disk is None else f'{disk / 1e9:.2f}'} | "
                + " | ".join(f"{ratio:.2f}" for ratio in ratios)
                + " |"
            )
    return "\n".join(lines)


_WARM, _COLD = "0.6B float32 warm", "0.6B bfloat16 cold"


def make_summary(results: dict[str, Any]) -> str:
    """Return a sentence of it; the seconds are those of build and load."""

    def seconds(loaded: str, name: str) -> str:
        return f"{results[loaded][name]['median_with_build']:.2f} s"

    warm = (seconds(_WARM, name) for name in ("shim_from_pretrained", "stock", "huggingface"))
    cold = (seconds(_COLD, name) for name in ("shim_from_pretrained", "huggingface", "direct_floor"))
    return (
        "0.6B from bfloat16 to float32 takes {}, stock {}, HuggingFace {}; in bfloat16 from a cold disk {}, "
        "HuggingFace {}, reading the file alone {}."
    ).format(*warm, *cold)


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
        if {_WARM, _COLD} <= merged["results"].keys():
            changed += fill("speed in short", make_summary(merged["results"]))
    if rows := [row for file in files for row in file.get("rows", ())]:
        changed += fill("speed of files", make_other_table(rows))
    for path in changed:
        print(path)


if __name__ == "__main__":
    main()
