"""Real processes that share a model: each loads its own slices, and together they say what one says alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import ROOT

from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint

_SCRIPT = """
import json, sys
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from mindformers import AutoModel, build_context
directory, ranks, who_builds = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if who_builds == "the script":
    build_context({
        "use_legacy": False, "run_mode": "predict", "use_parallel": ranks > 1,
        "context": {"mode": 1, "device_target": "CPU"},
        "parallel": {"parallel_mode": "STAND_ALONE", "full_batch": False} if ranks > 1 else {},
        "parallel_config": {"model_parallel": ranks, "data_parallel": 1},
    })
model = AutoModel.from_pretrained(directory)
tokens = model.generate([[5, 6, 7, 8]], max_new_tokens=8, do_sample=False)
report = model.mf_qwen3_report
print("@@result@@", json.dumps({"tokens": [int(token) for token in tokens[0]], "bytes": report.bytes_read,
                                "rank": report.rank, "ranks": report.tensor_parallel}))
"""


@pytest.mark.parametrize("who_builds", ["the script", pytest.param("nobody", marks=pytest.mark.sweep)])
def test_two_ranks_generate_what_one_does_and_read_half_each(who_builds: str, tmp_path: Path) -> None:
    """With a context that the script has built, or with none: then all that msrun started share the model."""
    directory = write_checkpoint(tmp_path / "hf", shards=2)
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)

    (alone,) = _run([sys.executable, str(script), str(directory), "1", who_builds], tmp_path)
    launcher = ["msrun", "--worker_num=2", "--local_worker_num=2", "--join=True", "--log_dir=logs"]
    command = [*launcher, f"--master_port={_free_port()}", str(script), str(directory), "2", who_builds]
    both = sorted(_run(command, tmp_path, tmp_path / "logs"), key=lambda result: result["rank"])

    assert [(result["rank"], result["ranks"]) for result in both] == [(0, 2), (1, 2)]
    assert [result["tokens"] for result in both] == [alone["tokens"]] * 2
    tensors = open_checkpoint(directory).tensors.values()
    whole = sum(tensor.nbytes for tensor in tensors)
    replicated = sum(tensor.nbytes for tensor in tensors if len(tensor.shape) == 1)
    assert alone["bytes"] == whole
    assert [result["bytes"] for result in both] == [replicated + (whole - replicated) // 2] * 2


def _run(command: list[str], cwd: Path, logs: Path | None = None) -> list[dict[str, Any]]:
    """Run, and return the results found in the output and, under msrun, in the workers' logs."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MF_QWEN3_PATCH")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    for name in ("RUN_MODE", "RANK_ID"):
        environ.pop(name, None)
    finished = subprocess.run(command, cwd=cwd, env=environ, timeout=280, text=True, capture_output=True, check=False)
    texts = [finished.stdout] if logs is None else [log.read_text() for log in logs.glob("worker_*.log")]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("@@result@@")]
    assert lines, "\n".join([finished.stderr[-3000:], *(text[-5000:] for text in texts)])
    return [json.loads(line.split(maxsplit=1)[1]) for line in lines]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
