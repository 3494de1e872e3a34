"""How much later than in a program without the shim a tiny model says its first token.

    python benchmarks/first_token.py [--runs 7]

Both programs load the micro model that comes with the package and generate one token, on the CPU with its stand-ins:
one by ``import mf_qwen3_patch`` and ``AutoModel.from_pretrained``, the other with every patch off, by MindFormers' own
context, config, network and ``load_weights``. The time runs from the start of the interpreter; they take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "src")]

from measured import Row, seconds_of, write  # noqa: E402

_MICRO = HERE.parent / "src" / "mf_qwen3_patch" / "micro_qwen3"
_SPEAK = """
tokens = model.generate([[5, 6, 7]], max_new_tokens=1, do_sample=False)[0]
print("@@token@@", tokens[3], flush=True)
"""
_WITH = f"""
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from mindformers import AutoModel
model = AutoModel.from_pretrained({str(_MICRO)!r}, torch_dtype="float32")
{_SPEAK}
"""
_WITHOUT = f"""
import os
os.environ["MF_QWEN3_PATCH"] = "0"
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from contestants import build_cpu_context, network_builder
build_cpu_context()
model = network_builder({str(_MICRO)!r}, "float32")()
model.load_weights({str(_MICRO)!r})
{_SPEAK}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    times: dict[str, list[float]] = {_WITH: [], _WITHOUT: []}
    tokens = set()
    for turn in range(options.runs + 1):
        for program, seconds in times.items():
            taken, token = first_token(program)
            tokens.add(token)
            if turn:  # the first writes the .pyc files
                seconds.append(taken)
    if len(tokens) != 1:
        raise SystemExit(f"the two programs say different tokens: {tokens}")
    later = [a - b for a, b in zip(times[_WITH], times[_WITHOUT], strict=True)]
    rows = [
        Row("from `python` to the first token of the micro model, without the shim", seconds_of(times[_WITHOUT])),
        Row("with it", seconds_of(times[_WITH])),
        Row("later by, in the same turn", f"{median(later):.2f} s"),
    ]
    write(rows, options.json)


def first_token(program: str) -> tuple[float, str]:
    """Return how many seconds an interpreter takes to the first token, and the token."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MF_QWEN3_PATCH")}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parent / "src")])
    with tempfile.TemporaryDirectory() as scratch:  # MindSpore writes into the working directory
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=scratch, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        for line in process.stdout or ():
            if line.startswith("@@token@@"):
                taken = time.perf_counter() - started
                process.communicate()
                return taken, line.split()[1]
    raise SystemExit(f"no token: {program}")


if __name__ == "__main__":
    main()
