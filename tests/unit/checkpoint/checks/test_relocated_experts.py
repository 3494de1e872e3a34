"""Experts that MindFormers' dynamic relocation has moved are seen; the identity, as it is restored, is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import Raw, write_safetensors

from mf_qwen3_patch.checkpoint.checks.relocated_experts import relocated_experts
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint

NAME = "decoder.layers.1.mlp.expert_mapping"


@pytest.mark.parametrize("dtype", ["I32", "I64"])
@pytest.mark.parametrize("places", [[0, 1, 2, 3], [0, 2, 1, 3]])
def test_only_another_order_is_a_problem(dtype: str, places: list[int], tmp_path: Path) -> None:
    data = np.array(places, f"<i{int(dtype[1:]) // 8}").tobytes()
    write_safetensors(tmp_path / "model.safetensors", {NAME: Raw(dtype, (4,), data)})
    with open_checkpoint(tmp_path, absent_config={}) as checkpoint:
        problem = relocated_experts(checkpoint)
    if places == [0, 1, 2, 3]:
        assert problem is None
    else:
        assert problem is not None
        assert (problem.parameter, problem.found) == (NAME, "[0, 2, 1, 3]")
        assert problem.expected == "0 to 3, in order"
