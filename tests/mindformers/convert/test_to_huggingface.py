"""``export``: the inverse of ``convert``, for what MindFormers itself made, too; nothing is guessed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import oracle
from tests.support.checkpoints import (
    TINY_MOE,
    Raw,
    Tensors,
    edit_config,
    read_json,
    read_safetensors,
    weight_files,
    write_checkpoint,
    write_safetensors,
)
from tests.support.processes import ROOT

from mf_qwen3_patch.convert.to_huggingface import Layouts, export_to_huggingface
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointError, ConfigMismatch, IncompleteCheckpoint, UnsupportedCheckpoint
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING

ALL_TRAINING = Layouts(TRAINING, TRAINING, TRAINING)
ALL_INFERENCE = Layouts(INFERENCE, INFERENCE, INFERENCE)
QKV = "decoder.layers.1.self_attention.linear_qkv.weight"


def hf(tmp_path: Path, **options: Any) -> Path:
    return write_checkpoint(tmp_path / "hf", **options)


def as_mindformers_saves_it(tmp_path: Path, layout: Any = "training", **options: Any) -> Path:
    """A directory with one weight file that does not say its layout, and nothing else."""
    convert_to_mindformers(hf(tmp_path, **options), tmp_path / "converted", layout=layout)
    saved = tmp_path / "saved"
    saved.mkdir()
    write_safetensors(saved / "qwen3_rank_0-10_2.safetensors", tensors_of(tmp_path / "converted"))
    return saved


def tensors_of(directory: Path) -> Tensors:
    (file,) = weight_files(directory)
    return read_safetensors(file)


@pytest.mark.parametrize("layout", ["training", "inference"])
def test_what_mindformers_saved_is_exported_when_the_layout_is_said(layout: Any, tmp_path: Path) -> None:
    saved = as_mindformers_saves_it(tmp_path, layout, dtype="BF16")
    layouts = ALL_TRAINING if layout == "training" else ALL_INFERENCE
    done = export_to_huggingface(saved, tmp_path / "back", layouts=layouts, config=tmp_path / "hf")
    assert tensors_of(tmp_path / "back") == tensors_of(tmp_path / "hf")
    assert done.layouts == layouts
    assert (tmp_path / "back" / "config.json").read_bytes() == (tmp_path / "hf" / "config.json").read_bytes()


def test_a_layout_that_nobody_says_is_not_guessed(tmp_path: Path) -> None:
    saved = as_mindformers_saves_it(tmp_path)
    with pytest.raises(UnsupportedCheckpoint, match=r"nothing says in which layout[\s\S]*--layout training"):
        export_to_huggingface(saved, tmp_path / "back", config=tmp_path / "hf")
    assert not (tmp_path / "back").exists()


def test_a_layout_that_contradicts_the_files_is_an_error(tmp_path: Path) -> None:
    convert_to_mindformers(hf(tmp_path), tmp_path / "mf")
    with pytest.raises(ConfigMismatch, match="inference layout, which contradicts the command line"):
        export_to_huggingface(tmp_path / "mf", tmp_path / "back", layouts=ALL_TRAINING)
    export_to_huggingface(tmp_path / "mf", tmp_path / "back", layouts=ALL_INFERENCE)


@pytest.mark.parametrize("contiguous", ["attention", "mlp"])
def test_training_with_one_part_contiguous(contiguous: str, tmp_path: Path) -> None:
    """Of the training layout take the one part, of the inference layout the other."""
    saved = as_mindformers_saves_it(tmp_path)
    convert_to_mindformers(tmp_path / "hf", tmp_path / "inference")
    element, layouts = {
        "attention": ("linear_qkv", Layouts(INFERENCE, TRAINING, TRAINING)),
        "mlp": ("linear_fc1", Layouts(TRAINING, INFERENCE, TRAINING)),
    }[contiguous]
    mixed = tensors_of(saved) | {
        name: raw for name, raw in tensors_of(tmp_path / "inference").items() if element in name
    }
    (file,) = weight_files(saved)
    write_safetensors(file, mixed)
    export_to_huggingface(saved, tmp_path / "back", layouts=layouts, config=tmp_path / "hf" / "config.json")
    assert tensors_of(tmp_path / "back") == tensors_of(tmp_path / "hf")


def test_an_optimizers_state_stays_behind_and_is_named(tmp_path: Path) -> None:
    saved = as_mindformers_saves_it(tmp_path)
    (file,) = weight_files(saved)
    state = {f"adam_m.{QKV}": Raw("F32", (2,), bytes(8)), "global_step": Raw("I32", (1,), bytes(4))}
    write_safetensors(file, tensors_of(saved) | state)
    done = export_to_huggingface(saved, tmp_path / "back", layouts=ALL_TRAINING, config=tmp_path / "hf")
    assert sorted(done.ignored) == sorted(state)
    assert tensors_of(tmp_path / "back") == tensors_of(tmp_path / "hf")


def _without_a_parameter(saved: Path) -> None:
    (file,) = weight_files(saved)
    write_safetensors(file, {name: raw for name, raw in tensors_of(saved).items() if name != QKV})


@pytest.mark.parametrize(
    ("spoil", "kind", "text"),
    [
        (lambda saved, hf: _without_a_parameter(saved), IncompleteCheckpoint, f"{QKV} is in no file"),
        (lambda saved, hf: edit_config(hf, num_hidden_layers=1), ConfigMismatch, "a layer or a module that the config"),
        (lambda saved, hf: edit_config(hf, num_hidden_layers=3), IncompleteCheckpoint, "decoder.layers.2"),
        (lambda saved, hf: edit_config(hf, intermediate_size=48), ConfigMismatch, "another shape"),
        (
            lambda saved, hf: edit_config(hf, model_type="llama", architectures=["LlamaForCausalLM"]),
            UnsupportedCheckpoint,
            "describes LlamaForCausalLM, not Qwen3",
        ),
        (
            lambda saved, hf: edit_config(hf, model_type="qwen3_moe"),
            UnsupportedCheckpoint,
            r"both qwen3_moe \(model_type\) and Qwen3ForCausalLM \(architectures\)",
        ),
        (lambda saved, hf: edit_config(hf, **TINY_MOE), UnsupportedCheckpoint, "the parameters are those of Qwen3"),
        (
            lambda saved, hf: edit_config(hf, num_hidden_layers=10**9),
            ConfigMismatch,
            "num_hidden_layers: 1000000000, which is more than the files can hold",
        ),
        (lambda saved, hf: (hf / "config.json").unlink(), IncompleteCheckpoint, "--config"),
        (lambda saved, hf: (saved / "rank_0").mkdir(), UnsupportedCheckpoint, "the slices of single ranks"),
    ],
    ids=[
        "parameter missing",
        "fewer layers",
        "more layers",
        "other shape",
        "another model",
        "contradictory config",
        "moe",
        "absurdly many layers",
        "no config",
        "ranks",
    ],
)
def test_what_cannot_be_exported_rightly_is_an_error(
    spoil: Any, kind: type[CheckpointError], text: str, tmp_path: Path
) -> None:
    saved = as_mindformers_saves_it(tmp_path)
    spoil(saved, tmp_path / "hf")
    with pytest.raises(kind, match=text):
        export_to_huggingface(saved, tmp_path / "back", layouts=ALL_TRAINING, config=tmp_path / "hf")
    assert not (tmp_path / "back").exists()


def test_a_huggingface_directory_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="is a HuggingFace directory already") as error:
        export_to_huggingface(hf(tmp_path), tmp_path / "back", layouts=ALL_INFERENCE)
    assert len(error.value.problems) == 1


def test_the_slices_of_ranks_are_refused(tmp_path: Path) -> None:
    convert_to_mindformers(hf(tmp_path), tmp_path / "mf", ranks=2)
    with pytest.raises(UnsupportedCheckpoint, match="without --tp"):
        export_to_huggingface(tmp_path / "mf", tmp_path / "back")
    with pytest.raises(UnsupportedCheckpoint, match="one of 2 ranks"):
        export_to_huggingface(tmp_path / "mf" / "rank_1", tmp_path / "back", config=tmp_path / "hf")


def test_the_config_says_the_dtype_that_the_tensors_have(tmp_path: Path) -> None:
    """Trained in float32 from a bfloat16 checkpoint."""
    convert_to_mindformers(hf(tmp_path, dtype="BF16"), tmp_path / "mf", layout="training", dtype="float32")
    export_to_huggingface(tmp_path / "mf", tmp_path / "back", config=tmp_path / "hf")
    assert read_json(tmp_path / "back" / "config.json")["torch_dtype"] == "float32"


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch (extra `oracle`)")
@pytest.mark.parametrize("name", ["gqa2", "tied", "sharded", "bf16", "moe", "moe_tied", "moe_bf16", "moe_top1"])
@pytest.mark.parametrize("layout", ["inference", "training"])
def test_transformers_loads_it_and_says_the_same(name: str, layout: Any, tmp_path: Path) -> None:
    source = ROOT / "tests" / "reference_data" / "checkpoints" / name
    convert_to_mindformers(source, tmp_path / "mf", layout=layout, max_shard_bytes=20_000)
    export_to_huggingface(tmp_path / "mf", tmp_path / "back", max_shard_bytes=15_000)
    prompt = [[5, 6, 7]]
    (expected,), (found,) = oracle.run(source, prompt, 8), oracle.run(tmp_path / "back", prompt, 8)
    assert found.tokens == expected.tokens
    # The same bytes; where they lie in memory decides the order of torch's summation.
    np.testing.assert_allclose(found.logits, expected.logits, rtol=0, atol=1e-5)
