"""A quantized checkpoint is seen as one that is not, whole or with files missing, whatever is quantized of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.checkpoints import (
    INDEX,
    TINY_MOE,
    Tensors,
    decode,
    edit_config,
    edit_weights,
    shard_name,
    tensor_shapes,
    write_checkpoint,
    zeros,
)
from tests.support.checkpoints import read_json as read
from tests.support.quantized import KINDS, quantize_checkpoint, write_quantized

from mf_qwen3_patch.checkpoint.checks.preflight import Preflight, preflight
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import QuantizedTensor

FP8, GPTQ, PACKED = "FP8, blocks", "GPTQ", "compressed-tensors, INT4, asymmetric, act-order"


def quantized_names(found: Preflight) -> set[str]:
    return {name for name, info in found.checkpoint.tensors.items() if isinstance(info, QuantizedTensor)}


@pytest.mark.parametrize("model", [{}, TINY_MOE], ids=["dense", "experts"])
@pytest.mark.parametrize("kind", KINDS)
def test_names_shapes_and_dtypes_are_those_of_the_network(kind: str, model: dict[str, object], tmp_path: Path) -> None:
    quantized, plain = write_quantized(tmp_path, kind, dtype="BF16", shards=3, **model)
    found, expected = preflight(quantized), preflight(plain)

    assert found.problems == found.warnings == ()
    shapes = {name: info.shape for name, info in found.checkpoint.tensors.items()}
    assert shapes == tensor_shapes(read(quantized / "config.json"))
    assert {info.dtype for info in found.checkpoint.tensors.values()} == {"BF16"}
    assert (found.dims, found.memory.device_per_rank) == (expected.dims, expected.memory.device_per_rank)


def test_without_a_declared_dtype_it_is_that_of_what_is_not_quantized(tmp_path: Path) -> None:
    directory, _ = write_quantized(tmp_path, GPTQ, dtype="F16")
    edit_config(directory, "torch_dtype")
    found = preflight(directory)

    assert {info.dtype for info in found.checkpoint.tensors.values()} == {"F16"}
    assert found.memory.dtype == "float16"


@pytest.mark.parametrize("kind", [FP8, PACKED])
def test_layers_that_are_not_quantized_are_as_ever(kind: str, tmp_path: Path) -> None:
    directory, _ = write_quantized(tmp_path, kind, dtype="BF16")
    name = "model.layers.1.self_attn.o_proj"

    def undo(tensors: Tensors) -> None:
        for part in [part for part in tensors if part.startswith(name)]:
            del tensors[part]
        tensors[f"{name}.weight"] = zeros(80, 128, dtype="BF16")

    edit_weights(directory, undo)
    found = preflight(directory)

    assert found.problems == found.warnings == ()
    assert f"{name}.weight" not in quantized_names(found)
    assert len(quantized_names(found)) == 13


@pytest.mark.parametrize("kind", [FP8, GPTQ, PACKED])
def test_a_head_may_be_quantized_too(kind: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, dtype="BF16")
    quantizer, config = KINDS[kind]
    quantize_checkpoint(directory, quantizer, config)

    def quantize(tensors: Tensors) -> None:
        stored, _ = quantizer(decode(tensors.pop("lm_head.weight")))
        tensors.update({f"lm_head.{part}": raw for part, raw in stored.items()})

    edit_weights(directory, quantize)
    found = preflight(directory)

    assert found.problems == ()
    assert "lm_head.weight" in quantized_names(found)
    edit_config(directory, tie_word_embeddings=True)
    (ambiguous,) = preflight(directory).problems
    assert "is stored in another form than model.embed_tokens.weight" in ambiguous.summary
    tied = preflight(directory, overrides={"tie_word_embeddings": True})
    assert tied.problems == tied.warnings == ()


def test_scales_of_activations_and_of_the_cache_change_nothing(tmp_path: Path) -> None:
    directory, _ = write_quantized(tmp_path, "compressed-tensors, FP8 by tensor")
    names = ("mlp.up_proj.input_scale", "self_attn.q_proj.output_scale", "self_attn.k_scale", "self_attn.v_scale")
    more = {f"model.layers.0.{name}": zeros(1) for name in names}
    edit_weights(directory, lambda tensors: tensors.update(more))
    found = preflight(directory)

    assert found.problems == found.warnings == ()


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("kind", [FP8, GPTQ, PACKED])
def test_a_missing_shard_is_one_problem(kind: str, number: int, tmp_path: Path) -> None:
    directory, _ = write_quantized(tmp_path, kind, shards=3)
    name = shard_name(number, 3)
    (directory / name).unlink()

    (problem,) = preflight(directory).problems
    assert problem.file == name
    assert "tensors went with it" in problem.summary
    (directory / INDEX).unlink()
    (problem,) = preflight(directory).problems
    assert "is not there" in problem.summary


def test_a_truncated_shard_is_one_problem(tmp_path: Path) -> None:
    directory, _ = write_quantized(tmp_path, GPTQ, shards=3)
    shard = directory / shard_name(2, 3)
    shard.write_bytes(shard.read_bytes()[:-100])

    (problem,) = preflight(directory).problems
    assert problem.file == shard.name
    assert "is truncated" in problem.summary


@pytest.mark.parametrize("kind", [FP8, GPTQ])
def test_a_wrong_field_is_said_of_the_dequantized_shape(kind: str, tmp_path: Path) -> None:
    directory, _ = write_quantized(tmp_path, kind)
    edit_config(directory, intermediate_size=64)

    (problem,) = preflight(directory).problems
    assert problem.field == "intermediate_size"
    assert problem.expected == "96 (weights)"
    assert problem.tensor == "model.layers.0.mlp.gate_proj.weight"
