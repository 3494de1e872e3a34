"""run_mindformer.py's road with converted directories: each layout, and a file for each rank, to the right words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.mindformers.launcher.test_launcher import ANSWER, LAUNCHER, MICRO_QWEN3, arguments
from tests.support.installed import clean_environment
from tests.support.processes import ROOT

from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers

pytestmark = pytest.mark.sweep

_WITH_THE_SHIM = """
import runpy, sys
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def launch(cwd: Path, *arguments: object, before: tuple[str, ...] = ()) -> str:
    script = cwd / "with_the_shim.py"
    script.write_text(_WITH_THE_SHIM)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [*(before or (sys.executable,)), str(script), str(LAUNCHER), *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(PYTHONPATH=str(ROOT / "src"), PATH=path, ENFORCE_EAGER="true", OMP_NUM_THREADS="1"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=280,
    )
    return done.stdout


@pytest.mark.parametrize("layout", ["inference", "training"])
def test_a_converted_directory_stands_for_the_source(layout: Any, tmp_path: Path) -> None:
    convert_to_mindformers(MICRO_QWEN3, tmp_path / "mf", layout=layout, max_shard_bytes=100_000)
    log = launch(tmp_path, *arguments(tmp_path / "mf"))
    assert f"'text_generation_text': ['{ANSWER}']" in log, log[-5000:]
    assert "19 of 19 parameters" in log
    assert "19 tensors in 3 files" in log


def test_each_rank_loads_its_own_file(tmp_path: Path) -> None:
    convert_to_mindformers(MICRO_QWEN3, tmp_path / "ranks", ranks=2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    msrun = (
        "msrun",
        "--worker_num=2",
        "--local_worker_num=2",
        f"--master_port={port}",
        "--join=True",
        "--log_dir=logs",
    )
    more = ["--use_parallel", "--parallel_config.model_parallel", "2", "--load_checkpoint", str(tmp_path / "ranks")]
    output = launch(tmp_path, *arguments(MICRO_QWEN3, *more), before=msrun)
    logs = [log.read_text() for log in sorted((tmp_path / "logs").glob("worker_*.log"))]
    assert len(logs) == 2, output[-5000:]
    assert all(ANSWER in log for log in logs), logs[0][-5000:]
    assert "ranks/rank_0" in logs[0]
