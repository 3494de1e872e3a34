"""Checkpoints as people have them: what loads in transformers is taken, what does not is called by its right name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
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
    make_config,
    random_tensors,
    read_safetensors,
    shard_name,
    write_checkpoint,
    write_safetensors,
    write_weights,
    zeros,
)

from mf_qwen3_patch.checkpoint.checks.preflight import Preflight, preflight
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import (
    ConfigMismatch,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    Problem,
    UnsupportedCheckpoint,
)

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def assert_silent(found: Preflight) -> None:
    assert (found.problems, found.warnings) == ((), ())


def only_problem(found: Preflight) -> Problem:
    assert len(found.problems) == 1, found.problems
    return found.problems[0]


def stored(found: Preflight, name: str) -> bytes:
    """The bytes that would be loaded as a tensor."""
    info: TensorInfo = found.checkpoint.tensors[name]
    return info.file.read_bytes()[info.offset : info.offset + info.nbytes]


def renamed(tensors: Tensors, change: Callable[[str], str]) -> None:
    changed = {change(name): raw for name, raw in tensors.items()}
    tensors.clear()
    tensors.update(changed)


# Experts by transformers 5's names.


def test_num_local_experts_alone_is_the_number_of_experts(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, **TINY_MOE)
    edit_config(tmp_path, "num_experts", num_local_experts=6)
    found = preflight(tmp_path)
    assert_silent(found)
    assert found.config["num_experts"] == found.dims.num_experts == 6


@pytest.mark.parametrize("value", [6, None])
def test_both_names_of_the_number_of_experts_may_be_there(value: int | None, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, **TINY_MOE)
    edit_config(tmp_path, num_local_experts=value)
    assert_silent(preflight(tmp_path))


def test_two_numbers_of_experts_are_one_problem(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, **TINY_MOE)
    edit_config(tmp_path, num_local_experts=8)
    problems = preflight(tmp_path).problems
    assert [problem.field for problem in problems if "twice" in problem.summary] == ["num_experts"]


def test_num_local_experts_is_a_keyword_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, **TINY_MOE)
    assert_silent(preflight(tmp_path, overrides={"num_local_experts": 6}))
    assert preflight(tmp_path, overrides={"num_local_experts": 7}).problems


def group_experts(tensors: Tensors, *, transposed: bool = False) -> None:
    """Store the experts of each layer as transformers 5 does with ``save_original_format=False``."""
    for layer in range(2):
        prefix = f"model.layers.{layer}.mlp.experts."
        parts = {
            part: np.stack([decode(tensors.pop(f"{prefix}{expert}.{part}_proj.weight")) for expert in range(6)])
            for part in ("gate", "up", "down")
        }
        grouped = {"gate_up_proj": np.concatenate([parts["gate"], parts["up"]], 1), "down_proj": parts["down"]}
        for name, values in grouped.items():
            tensors[prefix + name] = encode(values.transpose(0, 2, 1) if transposed else values, "BF16")


@pytest.mark.parametrize("shards", [1, 3])
def test_grouped_experts_are_the_same_tensors(shards: int, tmp_path: Path) -> None:
    single = write_checkpoint(tmp_path / "single", dtype="BF16", shards=shards, **TINY_MOE)
    grouped = Path(shutil.copytree(single, tmp_path / "grouped"))
    edit_weights(grouped, group_experts)
    expected, found = preflight(single), preflight(grouped)

    assert_silent(found)
    assert found.checkpoint.tensors.keys() == expected.checkpoint.tensors.keys()
    for name in expected.checkpoint.tensors:
        assert found.checkpoint.tensors[name].shape == expected.checkpoint.tensors[name].shape
        assert stored(found, name) == stored(expected, name), name


def test_grouped_experts_of_another_order_are_one_problem(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, dtype="BF16", **TINY_MOE)
    edit_weights(tmp_path, lambda tensors: group_experts(tensors, transposed=True))
    problem = only_problem(preflight(tmp_path))
    assert problem.kind is UnsupportedCheckpoint
    assert "not in the order" in problem.summary
    assert problem.tensor == "model.layers.0.mlp.experts.down_proj"
    assert (problem.expected, problem.found) == ("[6, 80, 40] (experts, rows, columns)", "[6, 40, 80]")


def test_grouped_experts_in_a_missing_file_are_that_files_problem(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, dtype="BF16", shards=3, **TINY_MOE)
    edit_weights(tmp_path, group_experts)
    (tmp_path / shard_name(3, 3)).unlink()
    assert only_problem(preflight(tmp_path)).kind is IncompleteCheckpoint


# Tied embeddings.


@pytest.mark.parametrize("shards", [1, 3])
def test_a_tied_model_may_be_saved_with_its_output_layer_alone(shards: int, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=shards, tie=True)
    edit_weights(tmp_path, lambda tensors: renamed(tensors, lambda name: HEAD if name == EMBEDDING else name))
    found = preflight(tmp_path)
    assert_silent(found)
    assert found.checkpoint.tensors[EMBEDDING].shape == (160, 80)
    assert HEAD not in found.checkpoint.tensors


def test_an_untied_model_needs_both(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors.pop(EMBEDDING))
    assert only_problem(preflight(tmp_path)).tensor == EMBEDDING


def test_the_embedding_may_be_in_a_missing_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=3)
    edit_config(tmp_path, tie_word_embeddings=True)
    (tmp_path / shard_name(1, 3)).unlink()
    found = only_problem(preflight(tmp_path))
    assert (found.kind, found.file) == (IncompleteCheckpoint, shard_name(1, 3))


def tied_with_head(directory: Path, change: Callable[[np.ndarray], object]) -> None:
    write_checkpoint(directory, tie=True)

    def add(tensors: Tensors) -> None:
        values = decode(tensors[EMBEDDING]).copy()
        change(values)
        tensors[HEAD] = encode(values, "F32")

    edit_weights(directory, add)


def test_a_stored_copy_of_the_embedding_changes_nothing(tmp_path: Path) -> None:
    tied_with_head(tmp_path, lambda values: None)
    assert_silent(preflight(tmp_path))


@pytest.mark.parametrize("row", [0, 159])
def test_another_head_asks_which_is_meant(row: int, tmp_path: Path) -> None:
    tied_with_head(tmp_path, lambda values: values[row].fill(0.5))
    problem = only_problem(preflight(tmp_path))
    assert (problem.kind, problem.field) == (ConfigMismatch, "tie_word_embeddings")
    assert "transformers 4 uses the embedding, transformers 5 uses lm_head.weight" in problem.summary

    for answer in (True, False):
        found = preflight(tmp_path, overrides={"tie_word_embeddings": answer})
        assert found.problems == ()
        assert found.dims.tie_word_embeddings is answer
        assert not [text for text in found.warnings if "lm_head" in text]


def test_a_model_that_is_built_tied_is_told_of_another_head(tmp_path: Path) -> None:
    tied_with_head(tmp_path, lambda values: values[159].fill(0.5))
    found = preflight(tmp_path, overrides={"tie_word_embeddings": True}, overrides_source="the model's config")
    assert found.problems == ()
    (warning,) = found.warnings
    assert "lm_head.weight is not loaded" in warning


def test_the_end_of_a_large_head_is_compared_too(tmp_path: Path) -> None:
    config = make_config(dtype="BF16", tie=True, vocab_size=80_000)
    tensors = random_tensors(config, "BF16", 0)
    embedding = tensors[EMBEDDING]
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors[HEAD] = Raw("BF16", embedding.shape, embedding.data[:-2] + b"\x12\x34")
    write_weights(tmp_path, tensors)
    assert only_problem(preflight(tmp_path)).tensor == HEAD


# Fields that depend on others.


@pytest.mark.parametrize(
    "fields",
    [
        {"sliding_window": None},
        {"sliding_window": 64, "max_window_layers": 2},
        {"sliding_window": 64, "max_window_layers": 28},
        {"sliding_window": 64, "max_window_layers": 0, "layer_types": ["full_attention"] * 2},
    ],
)
def test_a_window_that_no_layer_has_changes_nothing(fields: dict[str, Any], tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, use_sliding_window=True, **fields)
    assert_silent(preflight(tmp_path))


@pytest.mark.parametrize(
    "fields",
    [
        {"sliding_window": 64, "max_window_layers": 1},
        {"sliding_window": 64, "max_window_layers": 0},
        {"sliding_window": 64, "max_window_layers": 1, "layer_types": []},
    ],
)
def test_a_window_that_some_layers_have_is_refused(fields: dict[str, Any], tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, use_sliding_window=True, **fields)
    assert only_problem(preflight(tmp_path)).field == "use_sliding_window"


def add_biases(directory: Path, value: float, dtype: str = "F32", **config: Any) -> None:
    names = {"q": 128, "k": 64, "v": 64, "o": 80}
    biases = {
        f"model.layers.{layer}.self_attn.{name}_proj.bias": encode(np.full(length, value), dtype)
        for layer in range(2)
        for name, length in names.items()
    }
    edit_weights(directory, lambda tensors: tensors.update(biases))
    edit_config(directory, **config)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(("value", "dtype"), [(0.0, "F32"), (-0.0, "BF16"), (0.0, "F16")])
def test_biases_of_zero_change_nothing(value: float, dtype: str, asked: bool, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    add_biases(tmp_path, value, dtype, attention_bias=asked)
    assert_silent(preflight(tmp_path))


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("value", [0.5, 2.0**-120, float("nan")])
def test_other_biases_are_one_problem(value: float, asked: bool, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    add_biases(tmp_path, value, attention_bias=asked)
    assert only_problem(preflight(tmp_path)).field == "attention_bias"


def test_biases_that_are_asked_for_and_not_stored_start_with_zero(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, attention_bias=True)
    assert_silent(preflight(tmp_path))


def test_nothing_is_claimed_of_biases_in_a_missing_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=3)
    edit_config(tmp_path, attention_bias=True)
    (tmp_path / shard_name(2, 3)).unlink()
    assert [problem.field for problem in preflight(tmp_path).problems] == [None, "attention_bias"]


# Names.


@pytest.mark.parametrize(
    ("change", "wrapper"),
    [
        (lambda name: name.replace("model.", "model._orig_mod."), "_orig_mod."),
        (lambda name: name.replace("model.", "model.language_model."), "language_model."),
        (lambda name: name.replace(".1.", ".1._checkpoint_wrapped_module."), "_checkpoint_wrapped_module."),
        (lambda name: name.replace(".mlp.", ".mlp._fsdp_wrapped_module."), "_fsdp_wrapped_module."),
        (lambda name: f"module.{name}", "module."),
        (lambda name: name if name == HEAD else f"actor.{name}", "actor."),
    ],
)
def test_a_wrapper_in_the_names_is_one_problem(change: Callable[[str], str], wrapper: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_weights(tmp_path, lambda tensors: renamed(tensors, change))
    problem = only_problem(preflight(tmp_path))
    assert problem.kind is UnsupportedCheckpoint
    assert repr(wrapper) in problem.summary
    assert "unwrapped model" in str(problem.advice)


def test_a_second_copy_under_a_wrappers_names_is_left_out(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors.update({f"ema.{EMBEDDING}": tensors[EMBEDDING]}))
    found = preflight(tmp_path)
    assert found.problems == ()
    assert "ema.model.embed_tokens.weight" in "".join(found.warnings)


@pytest.mark.parametrize("which", ["all", "mlp"])
def test_tensors_that_zero_3_has_emptied_are_one_problem(which: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)

    def empty(tensors: Tensors) -> None:
        tensors.update({name: zeros(0) for name in tensors if which == "all" or which in name})

    edit_weights(tmp_path, empty)
    problem = only_problem(preflight(tmp_path))
    assert problem.kind is IncompleteCheckpoint
    assert "ZeRO-3" in problem.summary
    assert "zero_to_fp32.py" in str(problem.advice)


def strip(name: str) -> str:
    return name.removeprefix("model.")


def test_names_without_model_but_with_a_head(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_weights(tmp_path, lambda tensors: renamed(tensors, strip))
    problem = only_problem(preflight(tmp_path))
    assert "lack the prefix 'model.'" in problem.summary
    assert "Embedding" not in str(problem)
    assert "none is an output layer" not in str(problem)


def test_names_of_a_tied_embedding_model(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tie=True)
    edit_weights(tmp_path, lambda tensors: renamed(tensors, strip))
    problem = only_problem(preflight(tmp_path))
    assert "as in Qwen3-Embedding" in problem.summary
    assert "AutoModelForCausalLM" in str(problem.advice)


@pytest.mark.parametrize("tie", [True, False])
def test_a_classifier_beside_what_generates_is_left_out(tie: bool, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tie=tie)
    edit_weights(tmp_path, lambda tensors: tensors.update({"score.weight": zeros(1, 80)}))
    found = preflight(tmp_path)
    assert found.problems == ()
    assert found.warnings == ("ignored, as Qwen3 has no such tensors: score.weight",)


# Files.


def two_copies(directory: Path, *, same: bool) -> None:
    write_checkpoint(directory, shards=3)
    second = directory / shard_name(2, 3)
    embedding = read_safetensors(directory / shard_name(1, 3))[EMBEDDING]
    copy = embedding if same else zeros(*embedding.shape)
    write_safetensors(second, read_safetensors(second) | {EMBEDDING: copy})


def test_of_two_copies_the_index_says_which(tmp_path: Path) -> None:
    two_copies(tmp_path, same=False)
    found = preflight(tmp_path)
    assert found.problems == ()
    (warning,) = found.warnings
    assert f"{shard_name(1, 3)} is used, as model.safetensors.index.json says" in warning
    assert any(stored(found, EMBEDDING))


def test_it_may_be_the_later_file(tmp_path: Path) -> None:
    two_copies(tmp_path, same=False)
    index = tmp_path / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"][EMBEDDING] = shard_name(2, 3)
    index.write_text(json.dumps(content))
    assert not any(stored(preflight(tmp_path), EMBEDDING))


@pytest.mark.parametrize("indexed", [True, False])
def test_two_copies_with_one_content_are_as_good_as_one(indexed: bool, tmp_path: Path) -> None:
    two_copies(tmp_path, same=True)
    if not indexed:
        (tmp_path / "model.safetensors.index.json").unlink()
    found = preflight(tmp_path)
    assert found.problems == ()
    assert not [text for text in found.warnings if "two files" in text]


def test_without_an_index_two_contents_are_a_problem_and_nothing_is_to_be_deleted(tmp_path: Path) -> None:
    two_copies(tmp_path, same=False)
    (tmp_path / "model.safetensors.index.json").unlink()
    problem = only_problem(preflight(tmp_path))
    assert problem.kind is CorruptCheckpoint
    assert "delete" not in str(problem)


def test_a_dtype_without_a_name_is_shown(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"dtype": "F32"', b'"dtype": ""   ', 1))
    problem = only_problem(preflight(tmp_path))
    assert problem.found == "''"


@pytest.mark.parametrize("dtype", ["float64", None])
def test_float64_weights_are_cast(dtype: str | None, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, torch_dtype=dtype)

    def widen(tensors: Tensors) -> None:
        for name, raw in tensors.items():
            tensors[name] = Raw("F64", raw.shape, decode(raw).astype(np.float64).tobytes())

    edit_weights(tmp_path, widen)
    assert_silent(preflight(tmp_path))


# Numbers.


@pytest.mark.parametrize("original", [128, 128.0])
def test_the_original_length_of_yarn_may_be_written_as_a_float(original: float, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": original}
    edit_config(tmp_path, rope_scaling=scaling)
    found = preflight(tmp_path)
    assert_silent(found)
    value = found.config["rope_scaling"]["original_max_position_embeddings"]
    assert (type(value), value) == (int, 128)


def test_the_length_itself_may_be_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, max_position_embeddings=512.0)
    found = preflight(tmp_path)
    assert_silent(found)
    assert type(found.config["max_position_embeddings"]) is int


@pytest.mark.parametrize("original", [128.5, "128"])
def test_other_lengths_are_refused(original: object, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": original}
    edit_config(tmp_path, rope_scaling=scaling)
    assert only_problem(preflight(tmp_path)).field == "rope_scaling"


@pytest.mark.parametrize(
    ("field", "text", "number"), [("rms_norm_eps", "1e-6", "1.0e-06"), ("rope_theta", "1e6", "1000000.0")]
)
def test_a_number_that_yaml_takes_for_text(field: str, text: str, number: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    problem = only_problem(preflight(tmp_path, overrides={field: text}, overrides_source="predict.yaml"))
    assert problem.field == field
    assert f"write it as a number, {field}: {number};" in str(problem.advice)


def test_text_that_is_no_number_gets_no_such_advice(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    problem = only_problem(preflight(tmp_path, overrides={"rms_norm_eps": "small"}))
    assert "write it as a number" not in str(problem.advice)


# What is said of weights that are not quantized.


@pytest.mark.parametrize(
    "value",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
    ],
)
def test_a_leftover_of_a_quantization_is_to_be_removed(value: dict[str, Any], tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, quantization_config=value)
    problem = only_problem(preflight(tmp_path))
    assert problem.field == "quantization_config"
    assert "remove quantization_config if the weights were dequantized or merged" in str(problem.advice)
    assert "download" not in str(problem)


def test_what_other_programs_leave_behind_changes_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "quant_model_description_w8a8.json").write_text("{}")
    edit_config(tmp_path, quantization={"bits": 4, "group_size": 64})
    found = preflight(tmp_path)
    assert found.problems == ()
    assert found.warnings == ("config.json has keys that Qwen3 does not use, ignored: quantization",)


# Noise.


@pytest.mark.parametrize(
    "fields",
    [
        {"min_p": 0.0, "presence_penalty": 0.0, "num_labels": 2},
        {"qkv_bias": False, "shared_expert_intermediate_size": 0},
        {"some_future_feature": None, "extra_layers": [], "router": {}, "note": ""},
    ],
)
def test_what_is_switched_off_is_not_worth_a_word(fields: dict[str, Any], tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, **fields)
    assert_silent(preflight(tmp_path))


def test_what_is_switched_on_is(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, qkv_bias=True, min_p=0.05)
    (warning,) = preflight(tmp_path).warnings
    assert "min_p, qkv_bias" in warning
