"""Which directories are recognized, which files count, and what is only worth a warning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import (
    INDEX,
    edit_config,
    edit_index,
    edit_weights,
    shard_name,
    tensor_shapes,
    write_checkpoint,
    zeros,
)

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import Directory, is_qwen3_directory
from mf_qwen3_patch.errors import CorruptCheckpoint, IncompleteCheckpoint


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_a_good_directory_has_no_problem_and_no_warning(tmp_path: Path, shards: int, tie: bool, dtype: str) -> None:
    directory = write_checkpoint(tmp_path, shards=shards, tie=tie, dtype=dtype)
    result = preflight(directory)
    assert (result.problems, result.warnings) == ((), ())
    shapes = {name: info.shape for name, info in result.checkpoint.tensors.items()}
    assert shapes == tensor_shapes(result.checkpoint.config)
    assert len(result.checkpoint.files) == shards


def test_qwen3_directories_are_recognized(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model")
    assert is_qwen3_directory(directory)
    assert is_qwen3_directory(str(directory))
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(b"x")
    assert is_qwen3_directory(directory), "so that the clear error about .bin can follow"
    edit_config(directory, "model_type")
    assert is_qwen3_directory(directory), "by its architecture"


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
        {"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"]},
        {"model_type": ["qwen3"], "architectures": "Qwen3ForCausalLM"},
    ],
)
def test_other_models_are_left_to_stock(tmp_path: Path, config: dict[str, Any]) -> None:
    edit_config(write_checkpoint(tmp_path), **config)
    assert not is_qwen3_directory(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"1", b'{"a":' * 100_000])
def test_recognition_never_raises(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert not is_qwen3_directory(tmp_path)


@pytest.mark.parametrize("path", [None, 3, b"/nowhere", "nowhere\0", "", object()])
def test_anything_may_be_asked_about(path: object) -> None:
    assert not is_qwen3_directory(path)


def test_a_file_or_a_yaml_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "predict_qwen3.yaml").write_text("model: {}\n")
    assert not is_qwen3_directory(tmp_path / "predict_qwen3.yaml")
    assert not is_qwen3_directory(tmp_path)


def test_read_config_raises_our_errors(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCheckpoint, match=r"config\.json is not there"):
        Directory(tmp_path).config()
    (tmp_path / "config.json").write_text("nope")
    with pytest.raises(CorruptCheckpoint, match="not valid JSON"):
        Directory(tmp_path).config()


def test_a_stray_file_is_ignored_with_a_warning(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=2)
    shutil.copy(directory / shard_name(1, 2), directory / "model-00001-of-00002 (copy).safetensors")
    result = preflight(directory)
    assert result.problems == ()
    assert len(result.warnings) == 1
    assert "model-00001-of-00002 (copy).safetensors" in result.warnings[0]
    assert len(result.checkpoint.files) == 2


def test_a_single_file_beside_an_index_is_used_as_huggingface_does(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=2)
    write_checkpoint(tmp_path / "single", seed=1)
    shutil.copy(tmp_path / "single" / "model.safetensors", directory)
    result = preflight(directory)
    assert [path.name for path in result.checkpoint.files] == ["model.safetensors"]
    assert any(INDEX in warning for warning in result.warnings)


def test_shards_without_an_index_are_taken_by_their_names(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=3)
    (directory / INDEX).unlink()
    result = preflight(directory)
    assert result.problems == ()
    assert len(result.checkpoint.files) == 3
    assert any("not there" in warning for warning in result.warnings)


def test_a_shard_in_a_hub_cache_is_a_symbolic_link(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "snapshot", shards=2)
    (tmp_path / "blobs").mkdir()
    shutil.move(directory / shard_name(1, 2), tmp_path / "blobs" / "abc")
    (directory / shard_name(1, 2)).symlink_to("../blobs/abc")
    assert preflight(directory).problems == ()


def test_unknown_tensors_are_one_warning(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path)
    names = [f"model.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in range(2)]
    edit_weights(directory, lambda tensors: tensors.update({name: zeros(16) for name in names}))
    result = preflight(directory)
    assert result.problems == ()
    assert len(result.warnings) == 1
    assert all(name in result.warnings[0] for name in names)


def test_a_tensor_that_the_index_forgot_is_used_with_a_warning(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=2)
    edit_index(directory, lambda weight_map: weight_map.pop("model.norm.weight"))
    result = preflight(directory)
    assert result.problems == ()
    assert "model.norm.weight" in result.checkpoint.tensors
    assert any("model.norm.weight" in warning for warning in result.warnings)


def test_opening_collects_instead_of_raising(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tmp_path)
    assert {problem.kind for problem in checkpoint.problems} == {IncompleteCheckpoint}
    assert checkpoint.config == {}
    assert dict(checkpoint.tensors) == {}
