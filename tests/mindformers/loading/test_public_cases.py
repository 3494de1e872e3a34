"""Checkpoints as people have them load as what they stand for, into the same parameters."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import (
    TINY_MOE,
    Raw,
    Tensors,
    decode,
    edit_config,
    edit_weights,
    encode,
    write_checkpoint,
    zeros,
)

from mf_qwen3_patch import CheckpointWarning, IncompleteCheckpoint
from mf_qwen3_patch.cli.main import main
from mindformers import AutoModel

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def parameters(directory: Path, **keywords: Any) -> dict[str, np.ndarray]:
    """Load a directory without a warning; return what the network holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        model = AutoModel.from_pretrained(str(directory), seq_length=32, **keywords)
    return {name: parameter.asnumpy() for name, parameter in model.parameters_dict().items() if "cache" not in name}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def group_experts(tensors: Tensors) -> None:
    for layer in range(2):
        prefix = f"model.layers.{layer}.mlp.experts."
        gate, up, down = (
            np.stack([decode(tensors.pop(f"{prefix}{expert}.{part}_proj.weight")) for expert in range(6)])
            for part in ("gate", "up", "down")
        )
        tensors[f"{prefix}gate_up_proj"] = encode(np.concatenate([gate, up], axis=1), "F32")
        tensors[f"{prefix}down_proj"] = encode(down, "F32")


def test_grouped_experts_and_their_number_by_the_new_name(tmp_path: Path) -> None:
    single = write_checkpoint(tmp_path / "single", **TINY_MOE)
    grouped = Path(shutil.copytree(single, tmp_path / "grouped"))
    edit_weights(grouped, group_experts)
    edit_config(grouped, "num_experts", num_local_experts=6)

    assert_same(parameters(grouped), parameters(single))
    assert main(["convert", str(grouped), str(tmp_path / "out")]) == 0


def test_a_tied_model_with_its_output_layer_alone(tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain", tie=True)
    renamed = Path(shutil.copytree(plain, tmp_path / "renamed"))
    edit_weights(renamed, lambda tensors: tensors.update({HEAD: tensors.pop(EMBEDDING)}))

    assert_same(parameters(renamed), parameters(plain))


def test_the_keyword_says_which_head_is_meant(tmp_path: Path) -> None:
    untied = write_checkpoint(tmp_path / "untied")
    contradictory = Path(shutil.copytree(untied, tmp_path / "contradictory"))
    edit_config(contradictory, tie_word_embeddings=True)
    tied = Path(shutil.copytree(contradictory, tmp_path / "tied"))
    edit_weights(tied, lambda tensors: tensors.pop(HEAD))

    assert_same(parameters(contradictory, tie_word_embeddings=False), parameters(untied))
    assert_same(parameters(contradictory, tie_word_embeddings=True), parameters(tied))


def test_biases_of_zero_and_a_window_that_no_layer_has(tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain")
    fields = Path(shutil.copytree(plain, tmp_path / "fields"))
    edit_weights(fields, lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": zeros(128)}))
    edit_config(fields, attention_bias=True, use_sliding_window=True, max_window_layers=2, sliding_window=64)

    assert_same(parameters(fields), parameters(plain))


def test_float64_becomes_float32(tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain")
    wide = Path(shutil.copytree(plain, tmp_path / "wide"))

    def widen(tensors: Tensors) -> None:
        for name, raw in tensors.items():
            tensors[name] = Raw("F64", raw.shape, decode(raw).astype(np.float64).tobytes())

    edit_weights(wide, widen)
    edit_config(wide, torch_dtype="float64")
    assert_same(parameters(wide), parameters(plain))


@pytest.mark.parametrize("shards", [1, 2])
def test_load_weights_of_a_file(shards: int, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=shards)
    model = AutoModel.from_pretrained(str(directory), seq_length=32)
    file = sorted(directory.glob("*.safetensors"))[0]
    if shards == 1:
        model.load_weights(str(file))
        assert model.mf_qwen3_report.directory == str(directory)
    else:
        with pytest.raises(
            IncompleteCheckpoint, match=f"one of 2 weight files.*(?s:.*)name the directory: {directory}"
        ):
            model.load_weights(str(file))
