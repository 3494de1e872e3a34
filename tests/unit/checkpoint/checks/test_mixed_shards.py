"""Shards that are not of one save, and an index of another one: warned of where anything shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import (
    INDEX,
    decode,
    encode,
    header_bytes,
    read_json,
    read_safetensors,
    write_checkpoint,
    write_json,
    write_safetensors,
)

from mf_qwen3_patch.checkpoint.checks.preflight import preflight

SECOND = "model-00002-of-00003.safetensors"


def _say_total_size(directory: Path, value: Any) -> None:
    index = read_json(directory / INDEX)
    write_json(directory / INDEX, index | {"metadata": {"total_size": value}})


def _warnings(directory: Path) -> tuple[str, ...]:
    found = preflight(directory)
    assert found.problems == ()
    return found.warnings


def test_an_index_that_gives_another_size_than_the_headers_is_warned_of(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=3)
    right = read_json(directory / INDEX)["metadata"]["total_size"]
    assert _warnings(directory) == ()

    _say_total_size(directory, right // 2)

    (warning,) = _warnings(directory)
    assert f"{right // 2} bytes together (total_size)" in warning
    assert f"the shards say {right}:" in warning


@pytest.mark.parametrize(
    "said", [lambda right: float(right), lambda _: 0, lambda _: "many", lambda _: None, lambda _: True]
)
def test_a_size_that_is_right_or_says_nothing_is_no_warning(said: Callable[[int], Any], tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=3)
    _say_total_size(directory, said(read_json(directory / INDEX)["metadata"]["total_size"]))
    assert _warnings(directory) == ()


def test_a_size_that_counts_what_the_index_does_not_list_is_right_too(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=3)
    index = read_json(directory / INDEX)
    extra = "extra.weight"
    tensors = read_safetensors(directory / SECOND)
    tensors[extra] = next(iter(tensors.values()))
    write_safetensors(directory / SECOND, tensors)
    _say_total_size(directory, index["metadata"]["total_size"] + len(tensors[extra].data))
    assert not any("total_size" in warning for warning in _warnings(directory))


def test_a_shard_that_another_program_has_written_is_warned_of(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=3)
    tensors = read_safetensors(directory / SECOND)
    data = b"".join(raw.data for raw in tensors.values())
    (directory / SECOND).write_bytes(header_bytes(tensors, {"format": "mlx"}) + data)
    (warning,) = _warnings(directory)
    assert f"model-00001-of-00003.safetensors: 'pt'; {SECOND}: 'mlx'" in warning


def test_a_shard_in_another_dtype_is_warned_of(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=3, dtype="BF16", num_hidden_layers=6)
    tensors = read_safetensors(directory / SECOND)
    write_safetensors(directory / SECOND, {name: encode(decode(raw), "F16") for name, raw in tensors.items()})
    (warning,) = _warnings(directory)
    assert f"in bfloat16 in model-00001-of-00003.safetensors, but in float16 in {SECOND}" in warning


def test_roles_and_layers_may_differ_in_dtype_within_a_shard(tmp_path: Path) -> None:
    """As some programs keep norms, routers, or the outer layers in float32."""
    directory = write_checkpoint(tmp_path, shards=3, dtype="BF16", num_hidden_layers=6)
    for path in sorted(directory.glob("*.safetensors")):
        tensors = read_safetensors(path)
        in_float32 = {name for name in tensors if "norm" in name or ".layers.0." in name or ".layers.3." in name}
        write_safetensors(
            path, {name: encode(decode(raw), "F32") if name in in_float32 else raw for name, raw in tensors.items()}
        )
    total = sum(len(raw.data) for path in directory.glob("*.safetensors") for raw in read_safetensors(path).values())
    _say_total_size(directory, total)
    assert _warnings(directory) == ()


def test_metadata_that_is_no_map_is_no_error(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=3)
    (directory / INDEX).write_text(json.dumps(read_json(directory / INDEX) | {"metadata": ["total_size"]}))
    assert _warnings(directory) == ()
