"""Runs a piece of Python in an interpreter of its own, as a user's script would run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_RESULT = "@@result@@ "

# Nothing that the outer process has set may decide what the script sees.
_FORGOTTEN = ("RUN_MODE", "ENFORCE_EAGER", "MS_ALLOC_CONF", "CPU_AFFINITY", "RANK_ID", "PYTHONSTARTUP")


@dataclass(frozen=True)
class Finished:
    """What a script left behind: its result, output and exit code."""

    result: Any
    output: str
    exit_code: int


def run_script(
    script: str,
    *arguments: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    check: bool = True,
) -> Finished:
    """Run ``script``; it hands back JSON by calling ``give(value)``.

    Args:
        script: Python source, dedented here.
        arguments: For ``sys.argv[1:]``.
        cwd: Where it runs; MindSpore writes files there.
        env: Added to the environment, from which whatever steers the shim or MindFormers is removed.
        timeout: In seconds.
        check: Fail if the exit code is not 0.
    """
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in _FORGOTTEN and not name.startswith("MF_QWEN3_PATCH")
    }
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environ["OMP_NUM_THREADS"] = "1"
    environ.update(env or {})
    prelude = (
        f"def give(value):\n    import json\n    print({_RESULT!r} + json.dumps(value, default=str), flush=True)\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script), *map(str, arguments)],
        cwd=cwd,
        env=environ,
        timeout=timeout,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    results = [line[len(_RESULT) :] for line in completed.stdout.splitlines() if line.startswith(_RESULT)]
    if check and completed.returncode != 0:
        raise AssertionError(f"exit code {completed.returncode}:\n{completed.stdout[-8000:]}")
    return Finished(json.loads(results[-1]) if results else None, completed.stdout, completed.returncode)
