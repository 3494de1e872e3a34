"""A sound directory: every parameter of the training network is what the source says, in the layout of its switches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import TINY_MOE, write_checkpoint
from tests.support.finetuning import outcomes

CONTIGUOUS_ATTENTION = {"use_contiguous_weight_layout_attention": True}
CONTIGUOUS_MLP = {"use_interleaved_weight_layout_mlp": False}
SWITCHES: dict[str, dict[str, Any]] = {
    "as they are by default": {},
    "contiguous attention": CONTIGUOUS_ATTENTION,
    "contiguous MLP": CONTIGUOUS_MLP,
    "both contiguous": CONTIGUOUS_ATTENTION | CONTIGUOUS_MLP,
    "not concatenated": {"qkv_concat": False},
    "float16": {"params_dtype": "float16"},
}
MODELS: dict[str, dict[str, Any]] = {"dense": {}, "tied": {"tie": True}, "moe": TINY_MOE}


@pytest.mark.parametrize("model", ["dense", "moe", pytest.param("tied", marks=pytest.mark.sweep)])
def test_every_parameter_is_the_sources(model: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", dtype="BF16", shards=3, **MODELS[model])
    cases = {
        f"{switches}, {'distributed' if distributed else 'plain'}": {
            "directory": directory,
            "distributed": distributed,
            "model_config": SWITCHES[switches],
            "output_dir": f"out_{number}",
        }
        for number, switches in enumerate(SWITCHES)
        for distributed in (False, True)
    }
    before = {file.name: file.stat().st_mtime_ns for file in directory.iterdir()}
    found = outcomes(cases, tmp_path, shim=True)

    for name, outcome in found.items():
        assert outcome.get("wrong") == [], (name, outcome)
        assert all(lost.endswith("fi_accu") for lost in outcome["random"]), (name, outcome["random"])
        assert outcome["report"]["verification"]["compared"].startswith("bit for bit"), name
        assert outcome["report"]["directory"] == str(directory)
        assert Path(outcome["path"]).name.endswith("_ms_converted_weight")
    assert {file.name: file.stat().st_mtime_ns for file in directory.iterdir()} == before


def test_yaml_overrides_and_a_directory_without_config_json(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", shards=2)
    bare = write_checkpoint(tmp_path / "bare", shards=2)
    (bare / "config.json").unlink()
    cases = {
        "another base": {"directory": directory, "model_config": {"rope_theta": 5e5}},
        "no config.json": {"directory": bare, "config_directory": directory, "source": directory, "output_dir": "o"},
    }
    found = outcomes(cases, tmp_path, shim=True)

    assert found["another base"]["wrong"] == []
    assert "sets rope_theta to 500000.0 over config.json's 1000000" in found["another base"]["log"]
    assert found["no config.json"]["wrong"] == []


def test_the_adapters_of_a_lora_start_anew_and_everything_else_is_loaded(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", shards=2)
    lora = {
        "pet_type": "lora",
        "lora_rank": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "lora_a_init": "normal",
        "lora_b_init": "zeros",
        "freeze_include": ["*"],
        "freeze_exclude": ["*lora*"],
        "target_modules": ".*linear_proj|.*linear_fc2|.*linear_qkv",
    }
    case = {"directory": directory, "model_config": {"pet_config": lora}}
    outcome = outcomes({"lora": case}, tmp_path, shim=True)["lora"]

    assert "error" not in outcome, outcome
    assert len(outcome["random"]) == 12
    assert outcome["wrong"] == sorted(outcome["random"])
    assert all(".lora_" in name for name in outcome["wrong"])
    assert outcome["report"]["verification"]["parameters"] == 19
