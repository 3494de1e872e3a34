"""Real processes that share a mixture of experts: each loads its own slices, together they say what one says alone."""

from __future__ import annotations

import json
from pathlib import Path

from tests.mindformers.loading.test_reference_data import CASES
from tests.mindformers.loading.transfer.test_tensor_parallel import _SCRIPT, _free_port, _run


def test_two_ranks_generate_huggingfaces_tokens(tmp_path: Path) -> None:
    case = CASES["moe"]
    prompt, length = case.prompts[0], len(case.prompts[0]) + 8
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT.replace("[[5, 6, 7, 8]]", json.dumps([prompt])))
    launcher = ["msrun", "--worker_num=2", "--local_worker_num=2", "--join=True", "--log_dir=logs"]
    command = [*launcher, f"--master_port={_free_port()}", str(script), str(case.directory), "2", "nobody"]
    both = sorted(_run(command, tmp_path, tmp_path / "logs"), key=lambda result: result["rank"])

    assert [(result["rank"], result["ranks"]) for result in both] == [(0, 2), (1, 2)]
    assert [result["tokens"] for result in both] == [case.sequences[0][:length]] * 2
