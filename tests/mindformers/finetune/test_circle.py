"""HuggingFace, fine-tuned by MindFormers' own Trainer for some real steps, and back to HuggingFace."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import oracle
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import run_script

from mindformers import AutoModel

TOKENS = [5, 37, 101, 8, 64, 12, 150, 3, 77, 29, 140, 55, 91, 18, 120, 46, 7]

_TRAIN = """
import os, sys
os.environ["RUN_MODE"] = "finetune"
from pathlib import Path
import mf_qwen3_patch
from mf_qwen3_patch.cli.main import main
from mf_qwen3_patch.finetune.training_network import TrainingNetwork
from tests.support import cpu_training
from tests.support.finetuning import differing

directory, tokens, switches, options = Path(sys.argv[1]), *map(eval, sys.argv[2:])
cpu_training.enable()
wrapped, losses = cpu_training.finetune(directory, tokens, 3, switches)
network = TrainingNetwork.find(wrapped).model
saved = "output/checkpoint/rank_0"
assert main(["export", saved, "back", "--layout", "training", "--config", str(directory), *options]) == 0
give({
    "losses": losses,
    "trained": differing(network, directory),
    "lost": differing(network, Path("back")),
    "parameters": sum(parameter.requires_grad for parameter in network.get_parameters()),
    "report": network.mf_qwen3_report.verification.parameters,
})
"""
CONTIGUOUS = {"use_contiguous_weight_layout_attention": True, "use_interleaved_weight_layout_mlp": False}
CIRCLES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "dense": ({}, {}, []),
    "tied": ({"tie": True}, {}, []),
    "contiguous": ({}, CONTIGUOUS, ["--contiguous-attention", "--contiguous-mlp"]),
}


def _go_round(circle: str, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the source, and what was found; the exported directory is ``back``."""
    model, switches, options = CIRCLES[circle]
    directory = write_checkpoint(tmp_path / "hf", shards=2, **model)
    return directory, run_script(_TRAIN, directory, TOKENS, switches, options, cwd=tmp_path).result


@pytest.mark.parametrize(
    "circle", ["dense", *(pytest.param(it, marks=pytest.mark.sweep) for it in ("tied", "contiguous"))]
)
def test_what_was_trained_is_what_is_exported(circle: str, tmp_path: Path) -> None:
    _, found = _go_round(circle, tmp_path)

    assert found["losses"] == sorted(found["losses"], reverse=True)
    assert len(found["losses"]) == 3
    assert len(found["trained"]) == found["parameters"] == found["report"], "not every parameter was trained"
    assert found["lost"] == [], "the exported weights are not the network's"
    loaded = AutoModel.from_pretrained(tmp_path / "back")
    assert loaded.mf_qwen3_report.verification.compared.startswith("bit for bit")


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch (extra `oracle`)")
@pytest.mark.parametrize("circle", CIRCLES)
def test_transformers_says_the_same_before_and_after(circle: str, tmp_path: Path) -> None:
    directory, found = _go_round(circle, tmp_path)
    before, after = (oracle.loss(path, TOKENS) for path in (directory, tmp_path / "back"))

    # MindFormers computes the attention in float16.
    assert found["losses"][0] == pytest.approx(before, rel=1e-3)
    assert after < found["losses"][-1]
    (expected,) = oracle.run(tmp_path / "back", [TOKENS], 1)
    output = AutoModel.from_pretrained(tmp_path / "back").generate(
        [TOKENS], max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    np.testing.assert_allclose(output["logits"][0][0], expected.logits, rtol=0, atol=1e-4)
