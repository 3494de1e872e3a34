"""config.json as relatives and fine-tunes of the published models have it: what differs from the base model's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import edit_config, write_json, write_sparse_checkpoint
from tests.support.shapes import PUBLISHED

from mf_qwen3_patch.cli.main import main

_FULL = "full_attention"


def _newer(layers: int) -> dict[str, Any]:
    """What transformers 5 writes in the place of rope_theta, rope_scaling and torch_dtype."""
    rope = {"rope_theta": 1000000, "rope_type": "default"}
    return {"dtype": "bfloat16", "rope_parameters": rope, "layer_types": [_FULL] * layers}


_OLDER = ("torch_dtype", "rope_theta", "rope_scaling")

# The base model, the keys that are not there, those that differ, and what may be said of it.
CONFIGS: Mapping[str, tuple[str, tuple[str, ...], dict[str, Any], str | None]] = {
    "a base model of the family": (
        "Qwen3-14B",
        (),
        {"eos_token_id": 151643, "max_position_embeddings": 32768},
        None,
    ),
    "an instruct model for long prompts": (
        "Qwen3-30B-A3B",
        (),
        {"max_position_embeddings": 262144, "rope_theta": 10000000},
        None,
    ),
    "a coder with the keys of another family": (
        "Qwen3-30B-A3B",
        (),
        {
            "intermediate_size": 5472,
            "max_position_embeddings": 262144,
            "rope_theta": 10000000,
            "max_window_layers": 28,
            "qkv_bias": False,
            "use_qk_norm": True,
            "shared_expert_intermediate_size": 0,
        },
        None,
    ),
    "a guard with its own pad": ("Qwen3-4B", (), {"pad_token_id": 151643, "bos_token_id": None}, None),
    "a distillation with yarn and a setting of other programs": (
        "Qwen3-8B",
        (),
        {
            "max_position_embeddings": 131072,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 32768,
                "attn_factor": 0.8782488562869419,
            },
        },
        "attn_factor",
    ),
    "a long-context fine-tune": (
        "Qwen3-4B",
        (),
        {
            "max_position_embeddings": 131072,
            "rope_scaling": {"type": "yarn", "factor": 3.2, "original_max_position_embeddings": 40960.0},
        },
        None,
    ),
    "Unsloth": (
        "Qwen3-14B",
        (),
        {"pad_token_id": 151654, "unsloth_fixed": True, "unsloth_version": "2025.9.1", "_name_or_path": "x"},
        None,
    ),
    "TRL with transformers 5": (
        "Qwen3-0.6B",
        _OLDER,
        {**_newer(28), "pad_token_id": 151643, "bos_token_id": None, "transformers_version": "5.3.0"},
        None,
    ),
    "experts by transformers 5": (
        "Qwen3-30B-A3B",
        (*_OLDER, "num_experts"),
        {**_newer(48), "num_local_experts": 128, "transformers_version": "5.3.0"},
        None,
    ),
    "a trainer's leftovers": (
        "Qwen3-8B",
        (),
        {"use_cache": False, "gradient_checkpointing": False, "num_labels": 2, "return_dict": True},
        None,
    ),
    "merged, with a leftover of the server's": ("Qwen3-8B", (), {"min_p": 0.0, "presence_penalty": 0.0}, None),
    "a window that is switched on and not reached": (
        "Qwen3-8B",
        (),
        {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 36},
        None,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_check_takes_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, absent, changes, said = CONFIGS[name]
    original = {**PUBLISHED[base]}
    kept = {key: changes.get(key, value) for key, value in original.items()}
    # The weights are made from the config as the older release writes it.
    sizes = {"num_experts": kept["num_experts"]} if "num_experts" in kept else {}
    directory = write_sparse_checkpoint(tmp_path, shards=2, **kept | sizes)
    write_json(directory / "config.json", {**kept, **changes})
    edit_config(directory, *absent)

    assert main(["check", str(directory), "--tp", "4", "--json"]) == 0
    warnings = [text for text in json.loads(capsys.readouterr().out)["warnings"] if "host memory" not in text]
    if said is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert said in warning
