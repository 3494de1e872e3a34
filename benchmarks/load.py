"""How long it takes and how much memory it needs to load Qwen3, side by side; see README.md.

Example:
    python benchmarks/load.py --shape 0.6B --dtype float32 float16 bfloat16 --state warm cold --runs 5 --dir /tmp/bench
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from checkpoints import ALL_LAYERS, SHAPES, make  # noqa: E402
from contestants import CONTESTANTS  # noqa: E402
from page_cache import can_drop, drop, warm  # noqa: E402

_ITEM = {"float32": 4, "float16": 2, "bfloat16": 2}
_LEFT_OUT = {
    # Stock MindFormers builds its embedding with a kernel that the CPU lacks in bfloat16.
    *(("stock", "bfloat16"), ("manual", "bfloat16")),
    # Only a checkpoint in the wanted dtype can be mapped; elsewhere from_pretrained reads it all the same.
    *(("huggingface_read", "float32"), ("huggingface_read", "float16")),
}
_STATES = {"warm": "", "cold": ", cold", "again": ", the load after a cold one"}
_ONLY = {
    "warm": set(CONTESTANTS) - {"direct_floor"},
    "cold": set(CONTESTANTS) - {"floor"},
    # What the cold load has left in the page cache is its own doing.
    "again": {"shim", "shim_from_pretrained"},
}
LABELS = {
    "shim": "mf_qwen3_patch",
    "shim_from_pretrained": "its from_pretrained",
    "stock": "stock load_weights",
    "manual": "manual conversion",
    "huggingface": "HuggingFace from_pretrained",
    "huggingface_imported": "the same, imported before",
    "huggingface_read": "and every page read",
    "floor": "floor: read once, write once",
    "direct_floor": "floor of the disk: direct reads",
}

Run = dict[str, Any]


def title(shape: str, dtype: str, state: str = "warm") -> str:
    """Say what is loaded into what, and what the page cache holds of it."""
    layers = SHAPES[shape]["num_hidden_layers"]
    of = f" ({layers} of its {ALL_LAYERS[shape]} layers)" if shape in ALL_LAYERS else ""
    return f"{shape}{of}, bfloat16 file → {dtype}{_STATES[state]}"


def run_once(name: str, checkpoint: Path, dtype: str, touch: int, state: str) -> Run:
    """Run one contestant in a process of its own, with the page cache in that state."""
    (warm if state == "warm" else drop)(checkpoint.glob("*.safetensors"))
    if state == "again":
        _start(name, checkpoint, dtype, touch)
    return _start(name, checkpoint, dtype, touch)


def _start(name: str, checkpoint: Path, dtype: str, touch: int) -> Run:
    with tempfile.TemporaryDirectory() as scratch:  # MindSpore writes into the working directory
        finished = subprocess.run(
            [sys.executable, str(HERE / "contestants.py"), name, str(checkpoint), dtype, str(touch)],
            cwd=scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    results = [line for line in finished.stdout.splitlines() if line.startswith("@@result@@")]
    if finished.returncode or not results:
        raise SystemExit(f"{name} failed:\n{finished.stdout[-3000:]}")
    result: Run = json.loads(results[-1].split(maxsplit=1)[1])
    return result


def machine() -> str:
    """Name this machine: processor, cores, system."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].split(":")[1].strip() if models else platform.processor()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return f"{len(models)} cores of an {name} virtual machine with {memory:.0f} GiB"


def summarize(runs: list[Run], parameter_bytes: int) -> Run:
    """Return medians and ranges of several runs."""
    seconds = [run["seconds"] for run in runs]
    extra = statistics.median(run["peak_over_imports"] for run in runs) - parameter_bytes
    return {
        "median": statistics.median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "median_with_build": statistics.median(run["seconds_with_build"] for run in runs),
        "peak_bytes": statistics.median(run["peak_bytes"] for run in runs),
        "extra_over_parameters": extra / parameter_bytes,
        "device_bytes": None
        if any(run["device_bytes"] is None for run in runs)
        else statistics.median(run["device_bytes"] for run in runs),
        "runs": runs,
    }


def table(loaded: str, results: dict[str, Run]) -> str:
    """Return the results as text; ratios are the shim's median over the other's, without and with the build.

    HuggingFace's from_pretrained builds and loads in one.
    """
    lines = [
        f"{title(*loaded.split())} parameters",
        (
            f"{'':30}{'load s':>8}{'min - max':>14}{'+ build':>9}{'peak GB':>9}{'extra':>7}{'disk GB':>9}"
            f"{'shim / it':>11}{'+ build':>9}"
        ),
    ]
    shim = results.get("shim")
    for name, result in results.items():
        line = (
            f"{LABELS[name]:30}{result['median']:8.2f}{result['min']:7.2f} -{result['max']:5.2f}"
            f"{result['median_with_build']:9.2f}{result['peak_bytes'] / 1e9:9.2f}{result['extra_over_parameters']:7.0%}"
        )
        line += f"{'':>9}" if result["device_bytes"] is None else f"{result['device_bytes'] / 1e9:9.2f}"
        if shim:
            line += f"{shim['median'] / result['median']:11.2f}"
            line += f"{shim['median_with_build'] / result['median_with_build']:9.2f}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="where checkpoints are made and kept; else a temporary directory")
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), default=["0.6B"])
    parser.add_argument("--dtype", nargs="+", choices=list(_ITEM), default=["float32", "float16"])
    parser.add_argument("--contestant", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument(
        "--state",
        nargs="+",
        choices=list(_STATES),
        default=["warm"],
        help="of the page cache: it holds the file, nothing, or what a cold load has left; but for warm, needs root",
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--touch-gb", type=float, default=8, help="memory to touch before each load; default: 8")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    options = parser.parse_args()
    touch = int(options.touch_gb * 1e9)
    have_transformers = bool(find_spec("torch") and find_spec("transformers"))
    contestants = [name for name in options.contestant if not name.startswith("huggingface") or have_transformers]
    states = options.state
    if states != ["warm"] and not can_drop():
        print("only the rows with a warm page cache: none but root may empty it", file=sys.stderr)
        states = ["warm"]
    with tempfile.TemporaryDirectory() as temporary:
        everything: dict[str, Any] = {
            "date": date.today().isoformat(),
            "machine": machine(),
            "results": {},
        }
        for shape in options.shape:
            checkpoint = make(options.dir or Path(temporary), shape)
            elements = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors")) // 2
            for dtype, state in itertools.product(options.dtype, states):
                taking_part = [name for name in contestants if (name, dtype) not in _LEFT_OUT and name in _ONLY[state]]
                runs: dict[str, list[Run]] = {name: [] for name in taking_part}
                for _ in range(options.runs):
                    for name in taking_part:
                        runs[name].append(run_once(name, checkpoint, dtype, touch, state))
                results = {name: summarize(runs[name], elements * _ITEM[dtype]) for name in taking_part}
                loaded = f"{shape} {dtype} {state}"
                everything["results"][loaded] = results
                print(table(loaded, results), end="\n\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
