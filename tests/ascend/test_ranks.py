"""Several ranks under ``msrun``: each takes a card and its slices. Collectives succeed in the stub and do nothing."""

from __future__ import annotations

import json

import pytest
from tests.ascend.rehearsal import Rehearse

_WORKER = """
import json, os, sys
rank = os.environ["RANK_ID"]
os.environ["REHEARSAL_COUNTERS"] += rank
import mf_qwen3_patch
import mindspore
from mindformers import AutoModel
from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
from tests.ascend.counters import counters

mindspore.set_context(ascend_config={"hccl_watchdog": False})  # which would ask HCCL for the state of its group
model = AutoModel.from_pretrained(MICRO_QWEN3)
found = {"rank": model.mf_qwen3_report.rank, "ranks": model.mf_qwen3_report.tensor_parallel,
         "card": counters()["set_device"] - 1}
with open(f"found{rank}.json", "w") as file:
    json.dump(found, file)
os._exit(0)
"""

_LAUNCH = """
    import os, pathlib, socket, subprocess, sys
    pathlib.Path("worker.py").write_text(sys.argv[1])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = str(pathlib.Path(sys.executable).parent)
    os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]  # msrun starts "python"
    done = subprocess.run(
        [programs + "/msrun", "--worker_num=2", "--local_worker_num=2",
         f"--master_port={port}", "--log_dir=logs", "--join=True", "--cluster_time_out=120", "worker.py"],
        capture_output=True, text=True,
    )
    logs = {path.name: path.read_text(errors="replace")[-3000:] for path in pathlib.Path("logs").glob("worker_*.log")}
    give([path.read_text() for path in sorted(pathlib.Path(".").glob("found*.json"))] or [done.stdout, str(logs)])
"""


@pytest.mark.sweep
def test_each_rank_takes_its_own_card(rehearse: Rehearse) -> None:
    printed = rehearse(_LAUNCH, _WORKER).result
    assert printed[0].startswith("{"), printed
    found = [json.loads(text) for text in printed]
    assert found == [{"rank": rank, "ranks": 2, "card": rank} for rank in (0, 1)]
