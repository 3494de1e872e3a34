"""Runs a script in several processes that MindSpore's own launcher starts, on this machine's CPU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT

_PRELUDE = """\
import json, os
from pathlib import Path
rank = int(os.environ["RANK_ID"])
def give(value):
    Path(f"outcome_{rank}.json").write_text(json.dumps(value, default=str))
"""


def run_ranks(script: str, *arguments: object, cwd: Path, count: int = 2, **variables: str) -> list[Any]:
    """Run ``script`` on each rank; it knows its ``rank``, and hands back JSON by calling ``give(value)``."""
    worker = cwd / "worker.py"
    worker.write_text(_PRELUDE + textwrap.dedent(script))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MF_QWEN3_PATCH")}
    for name in ("RUN_MODE", "RANK_ID"):
        environment.pop(name, None)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    msrun = [Path(sys.executable).with_name("msrun"), f"--worker_num={count}", f"--local_worker_num={count}"]
    options = [f"--master_port={port}", "--join=True", "--log_dir=logs", worker, *arguments]
    finished = subprocess.run(
        [*map(str, (*msrun, *options))],
        cwd=cwd,
        env={**environment, "OMP_NUM_THREADS": "1", **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=280,
    )
    results = [cwd / f"outcome_{rank}.json" for rank in range(count)]
    logs = [log.read_text(errors="replace")[-3000:] for log in (cwd / "logs").glob("worker_*.log")]
    assert all(result.exists() for result in results), "\n".join([finished.stdout[-3000:], *logs])
    return [json.loads(result.read_text()) for result in results]
