"""A model's dimensions are shown by its own tensors alone."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.checkpoints import Tensors, edit_weights, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.preflight import preflight

_ROLE = "self_attn.q_proj.weight"


def test_a_tensor_that_is_called_like_one_of_a_layer_hides_none(tmp_path: Path) -> None:
    def put_first(tensors: Tensors) -> None:
        others = dict(tensors)
        tensors.clear()
        tensors.update({_ROLE: others[f"model.layers.0.{_ROLE}"], **others})

    checkpoint = write_checkpoint(tmp_path)
    edit_weights(checkpoint, put_first)
    config = json.loads((checkpoint / "config.json").read_text())
    right = config["num_attention_heads"]
    (checkpoint / "config.json").write_text(json.dumps({**config, "num_attention_heads": 2 * right}))
    (problem,) = preflight(checkpoint).problems

    assert (problem.field, problem.tensor) == ("num_attention_heads", f"model.layers.0.{_ROLE}")
    assert (problem.expected, problem.found) == (f"{right} (weights)", f"{2 * right} (config.json)")
