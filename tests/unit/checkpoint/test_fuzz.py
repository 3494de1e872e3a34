"""Whatever is in the files, only our own errors come out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import (
    INDEX,
    header_bytes,
    make_config,
    read_json,
    read_safetensors,
    shard_name,
    with_length,
    write_checkpoint,
)

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.checks.quantization import LOADABLE_DTYPES
from mf_qwen3_patch.checkpoint.files.directory import Directory, is_qwen3_directory
from mf_qwen3_patch.checkpoint.files.safetensors_header import read_header
from mf_qwen3_patch.errors import CheckpointError

QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

AWKWARD_NUMBERS = st.sampled_from(
    [0, 1, -1, True, False, 2, 4, 80, 2**31, 2**63, 2**64 - 1, -(2**63), 10**30, 1e308, 0.5, 1e-6]
)
AWKWARD_TEXTS = st.sampled_from(
    [
        "",
        "qwen3",
        "Qwen3ForCausalLM",
        "yarn",
        "BF16",
        "F32",
        "../x.safetensors",
        "/x",
        "x\0.safetensors",
        "é" * 300,
    ]
)
JSON = st.recursive(
    st.none() | AWKWARD_NUMBERS | AWKWARD_TEXTS | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("fuzz"), shards=2)


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    original = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(original)


def check(directory: Path) -> None:
    """Run everything; only our own error may come out, and its text must be readable."""
    is_qwen3_directory(directory)
    result = preflight(directory)
    json.dumps([problem.as_dict() for problem in result.problems])
    if not result.problems:
        # The promise itself: everything the config asks for is there, in that shape and loadable.
        tensors = result.checkpoint.tensors
        for name, shape in result.family.expected_tensors(result.dims).items():
            assert tensors[name].shape == shape
            assert tensors[name].dtype in LOADABLE_DTYPES
    if result.problems:
        with pytest.raises(CheckpointError) as caught:
            result.raise_for_problems()
        assert len(str(caught.value)) < 50_000


def spliced(data: st.DataObject, content: bytes, limit: int) -> bytes:
    """Overwrite, insert or cut some bytes near the start."""
    at = data.draw(st.integers(0, min(limit, len(content))))
    removed = data.draw(st.integers(0, 40))
    return content[:at] + data.draw(st.binary(max_size=12)) + content[at + removed :]


def mutated(data: st.DataObject, value: dict[str, Any]) -> dict[str, Any]:
    """Replace, add or remove a few keys."""
    result = dict(value)
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(st.sampled_from(sorted(value)) | st.text(max_size=8))
        if data.draw(st.booleans()):
            result[key] = data.draw(JSON)
        else:
            result.pop(key, None)
    return result


@settings(max_examples=600, **QUIET)
@given(data=st.data())
def test_header_bytes(good: Path, data: st.DataObject) -> None:
    path = good / shard_name(1, 2)
    content = path.read_bytes()
    with replaced(path, spliced(data, content, limit=1200)):
        check(good)


@settings(max_examples=400, **QUIET)
@given(data=st.data())
def test_header_entries(good: Path, data: st.DataObject) -> None:
    path = good / shard_name(1, 2)
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:start])
    name = data.draw(st.sampled_from(sorted(entries)))
    entries[name] = mutated(data, entries[name])
    with replaced(path, with_length(json.dumps(entries).encode()) + content[start:]):
        check(good)


@settings(max_examples=200, **QUIET)
@given(data=st.data())
def test_tensors(good: Path, data: st.DataObject) -> None:
    """Drop, rename and reshape whole groups of tensors in a consistent file."""
    path = good / shard_name(2, 2)
    tensors = read_safetensors(path)
    part = data.draw(st.sampled_from(["layers", "model", "lm_head", "norm", "q_proj", "mlp", "1.", "", "weight"]))
    chosen = [name for name in tensors if part in name]
    for name in chosen if data.draw(st.booleans()) else chosen[:1]:
        raw = tensors.pop(name)
        action = data.draw(st.sampled_from(["drop", "rename", "transpose", "flatten", "dtype"]))
        if action == "rename":
            tensors[name.replace(part, data.draw(st.sampled_from(["", "x", "model.layers.7."])))] = raw
        elif action == "transpose":
            tensors[name] = replace(raw, shape=raw.shape[::-1])
        elif action == "flatten":
            tensors[name] = replace(raw, shape=(len(raw.data) // 4,))
        elif action == "dtype":
            tensors[name] = replace(raw, dtype="I32")
    index = read_json(good / INDEX)
    index["weight_map"] = {
        name: file for name, file in index["weight_map"].items() if file != path.name
    } | dict.fromkeys(tensors, path.name)
    header = header_bytes(tensors) + b"".join(raw.data for raw in tensors.values())
    with replaced(path, header), replaced(good / INDEX, json.dumps(index).encode()):
        check(good)


@settings(max_examples=300, **QUIET)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_as_a_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.safetensors"
    path.write_bytes(content)
    problems = Directory(path.parent).header(path.name).problems
    assert all(problem.file == "arbitrary.safetensors" for problem in problems)
    if problems:
        with pytest.raises(CheckpointError, match=r"arbitrary\.safetensors"):
            read_header(path)


@settings(max_examples=300, **QUIET)
@given(data=st.data())
def test_index_json(good: Path, data: st.DataObject) -> None:
    index = read_json(good / INDEX)
    index["weight_map"] = mutated(data, index["weight_map"])
    if data.draw(st.integers(0, 3)) == 0:
        index = mutated(data, index)
    with replaced(good / INDEX, json.dumps(index).encode()):
        check(good)


@settings(max_examples=200, **QUIET)
@given(data=st.data())
def test_index_bytes(good: Path, data: st.DataObject) -> None:
    content = (good / INDEX).read_bytes()
    with replaced(good / INDEX, spliced(data, content, limit=len(content))):
        check(good)


@settings(max_examples=500, **QUIET)
@given(data=st.data(), dialect=st.sampled_from(["4.51", "4.57", "5"]))
def test_config_json(good: Path, data: st.DataObject, dialect: str) -> None:
    config = mutated(data, make_config(dialect=dialect))
    with replaced(good / "config.json", json.dumps(config).encode()):
        check(good)


@settings(max_examples=200, **QUIET)
@given(data=st.data())
def test_config_bytes(good: Path, data: st.DataObject) -> None:
    content = (good / "config.json").read_bytes()
    with replaced(good / "config.json", spliced(data, content, limit=len(content))):
        check(good)


@settings(max_examples=200, **QUIET)
@given(overrides=st.dictionaries(st.sampled_from(sorted(make_config())) | st.text(max_size=6), JSON, max_size=4))
def test_overrides(good: Path, overrides: dict[str, Any]) -> None:
    result = preflight(good, overrides=overrides)
    if result.problems:
        with pytest.raises(CheckpointError) as caught:
            result.raise_for_problems()
        assert len(str(caught.value)) < 50_000
