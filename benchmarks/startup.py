"""What the shim costs a Python that starts: the import, and the .pth with its variable set and unset.

    python startup.py [--runs N]

Each number comes from interpreters of their own, started in turn so that what else the machine does
hits all of them alike; the table shows the median and the fastest. The .pth is timed in two ways: its line alone, as
``site`` executes it, inside one interpreter; and the whole start of an interpreter with and without it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
PTH = SOURCE / "mf_qwen3_patch.pth"

_IMPORT = "import time; t = time.perf_counter(); import {}; print((time.perf_counter() - t) * 1e3)"
_IMPORT_REST = f"import wrapt; {_IMPORT}"
_LINE = (
    "import sys, time; line = open(sys.argv[1]).read(); t = time.perf_counter(); exec(line); "
    "print((time.perf_counter() - t) * 1e3)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the shim's import and its .pth.")
    parser.add_argument("--runs", type=int, default=30, help="interpreters per number (default: 30)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as directory:
        without = make_venv(Path(directory) / "without", with_pth=False)
        with_pth = make_venv(Path(directory) / "with", with_pth=True)
        measures = {
            "import mf_qwen3_patch": lambda: printed(without, "-c", _IMPORT.format("mf_qwen3_patch")),
            "  of which wrapt": lambda: printed(without, "-c", _IMPORT.format("wrapt")),
            "  of which its own": lambda: printed(without, "-c", _IMPORT_REST.format("mf_qwen3_patch")),
            ".pth line, MF_QWEN3_PATCH unset": lambda: printed(without, "-c", _LINE, str(PTH)),
            ".pth line, MF_QWEN3_PATCH=1": lambda: printed(without, "-c", _LINE, str(PTH), MF_QWEN3_PATCH="1"),
            "whole start, no .pth": lambda: elapsed(without),
            "whole start, .pth, unset": lambda: elapsed(with_pth),
            "whole start, .pth, MF_QWEN3_PATCH=1": lambda: elapsed(with_pth, MF_QWEN3_PATCH="1"),
        }
        for measure in measures.values():  # warm the caches, and write the .pyc files
            measure()
        times: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(runs):
            for name, measure in measures.items():
                times[name].append(measure())
    print(f"Python {sys.version.split()[0]}, {runs} runs, milliseconds")
    print(f"{'':<38}{'median':>9}{'fastest':>9}")
    for name, values in times.items():
        print(f"{name:<38}{statistics.median(values):>9.3f}{min(values):>9.3f}")


def make_venv(place: Path, *, with_pth: bool) -> Path:
    """Make a venv that sees this interpreter's packages and the project's source; return its interpreter."""
    venv.create(place, with_pip=False, symlinks=True)
    (site_packages,) = place.glob("lib/python*/site-packages")
    here = [entry for entry in sys.path if entry.endswith("site-packages")]
    (site_packages / "__packages_here.pth").write_text("\n".join([*here, str(SOURCE)]) + "\n")
    if with_pth:
        (site_packages / PTH.name).write_text(PTH.read_text())
    return place / "bin" / "python"


def printed(python: Path, *arguments: str, **variables: str) -> float:
    """Run and return the number that the program prints."""
    return float(subprocess.check_output([str(python), *arguments], env=environment(variables), text=True))


def elapsed(python: Path, **variables: str) -> float:
    """Return how many milliseconds an interpreter takes that does nothing."""
    started = time.perf_counter()
    subprocess.run([str(python), "-c", "pass"], env=environment(variables), check=True)
    return (time.perf_counter() - started) * 1e3


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return this process's environment, but for what steers the shim or Python, plus ``variables``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MF_QWEN3_PATCH", "PYTHON"))}
    return {**inherited, **variables}


if __name__ == "__main__":
    main()
