"""Two real processes that share layers or experts: what each holds is what stock's own loader gives it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mindformers.loading.transfer.test_tensor_parallel import _free_port, _run
from tests.support.checkpoints import TINY_MOE, write_checkpoint
from tests.support.processes import ROOT

_SCRIPT = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from pathlib import Path
from mindformers import AutoModel, MindFormerConfig
from mindformers.core.context import build_mf_context, build_parallel_context
from mindformers.parallel_core.inference import parallel_state
from tests.mindformers.loading.transfer.stock import bits, build, differences, load_with_stock

dense, moe = map(Path, sys.argv[2:])
layouts = {
    "PP": (dense, {"pipeline_stage": 2}),
    "TP+EP": (moe, {"model_parallel": 2, "expert_parallel": 2}),
    "DP+EP": (moe, {"data_parallel": 2, "expert_parallel": 2}),
}
found = {}
for name, (directory, sizes) in layouts.items():
    # The calls of a serving engine, in their order.
    config = MindFormerConfig(
        use_legacy=False, run_mode="predict", use_parallel=True, parallel={"parallel_mode": "STAND_ALONE"},
        parallel_config={"model_parallel": 1, "vocab_emb_dp": False, **sizes},
    )
    build_mf_context(config)
    build_parallel_context(config).init_communication()
    stage = parallel_state.get_pipeline_model_parallel_rank()
    ends = {"pre_process": stage == 0, "post_process": parallel_state.is_pipeline_last_stage()}
    stock, shim = build(directory, **ends), build(directory, **ends)
    load_with_stock(stock, directory)
    shim.load_weights(str(directory))
    report = shim.mf_qwen3_report
    found[name] = {
        "differences": differences(bits(stock), bits(shim)), "loader": report.loader, "global": report.global_rank,
        "tensor": [report.rank, report.tensor_parallel], "stage": [report.pipeline_stage, report.pipeline_parallel],
        "expert": [report.expert_rank, report.expert_parallel], "data": [report.data_rank, report.data_parallel],
    }
    # A model that we build is shared out in the same way, whatever the launcher has set.
    own = AutoModel.from_pretrained(directory)
    again = [getattr(own.mf_qwen3_report, field) == getattr(report, field) for field in
             ("rank", "tensor_parallel", "pipeline_stage", "pipeline_parallel", "expert_rank", "expert_parallel")]
    found[name]["from_pretrained"] = all(again)
print("@@result@@", json.dumps(found))
"""


@pytest.mark.sweep
def test_each_process_holds_what_stock_gives_it(tmp_path: Path) -> None:
    dense = write_checkpoint(tmp_path / "dense", shards=3, dtype="BF16", num_hidden_layers=3)
    moe = write_checkpoint(tmp_path / "moe", shards=2, dtype="BF16", **TINY_MOE)
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    launcher = ["msrun", "--worker_num=2", "--local_worker_num=2", "--join=True", "--log_dir=logs"]
    command = [*launcher, f"--master_port={_free_port()}", str(script), str(ROOT), str(dense), str(moe)]
    both = sorted(_run(command, tmp_path, tmp_path / "logs"), key=lambda found: found["PP"]["global"])

    shared = {"differences": {}, "loader": "mf_qwen3_patch", "from_pretrained": True}
    rest = {"tensor": [0, 1], "stage": [0, 1], "expert": [0, 1], "data": [0, 1]}
    assert len(both) == 2
    for number, found in enumerate(both):
        one = [number, 2]
        assert found == {
            "PP": {**shared, **rest, "global": number, "stage": one},
            "TP+EP": {**shared, **rest, "global": number, "tensor": one, "expert": one},
            "DP+EP": {**shared, **rest, "global": number, "data": one, "expert": one},
        }, f"process {number}"
