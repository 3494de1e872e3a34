"""Headers: what the safetensors library writes is read, what is damaged is refused."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from tests.support.checkpoints import Raw, decode, encode, with_length, write_checkpoint, write_safetensors

from mf_qwen3_patch.checkpoint.files import safetensors_header
from mf_qwen3_patch.checkpoint.files.safetensors_header import inspect_header, read_header
from mf_qwen3_patch.checkpoint.reading.read_file import open_file
from mf_qwen3_patch.errors import CorruptCheckpoint, IncompleteCheckpoint


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    arrays = {
        "b": np.arange(12, dtype=np.float32).reshape(3, 4),
        "a": np.arange(5, dtype=np.float16),
        "scalar": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 4), dtype=np.float32),
    }
    save_file(arrays, tmp_path / "x.safetensors", metadata={"format": "pt"})

    header = read_header(tmp_path / "x.safetensors")

    assert header.metadata == {"format": "pt"}
    assert header.tensors.keys() == arrays.keys()
    content = (tmp_path / "x.safetensors").read_bytes()
    for name, array in arrays.items():
        info = header.tensors[name]
        assert info.shape == array.shape
        assert info.nbytes == array.nbytes
        assert content[info.offset : info.offset + info.nbytes] == array.tobytes()


def test_the_library_reads_what_the_test_support_writes(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, dtype="F16")
    ours = read_header(directory / "model.safetensors").tensors
    with safe_open(directory / "model.safetensors", "np") as file:
        assert set(file.keys()) == ours.keys()
        for name, info in ours.items():
            assert file.get_slice(name).get_shape() == list(info.shape)
            assert file.get_slice(name).get_dtype() == info.dtype


def test_bfloat16_is_rounded_to_nearest_even() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, -3.0e38], dtype=np.float32)
    expected = np.array([1.0, 1.0, 1.015625, -3.0e38], dtype=np.float32)
    stored = decode(encode(values, "BF16"))
    assert stored[:3].tolist() == expected[:3].tolist()
    assert stored[3] == pytest.approx(expected[3], rel=2**-8)


def test_a_missing_file_is_incomplete_not_corrupt(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCheckpoint, match=r"model\.safetensors is not there"):
        read_header(tmp_path / "model.safetensors")


def test_a_truncated_file_still_lists_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": Raw("F32", (4,), bytes(16)), "b": Raw("F32", (4,), bytes(16))})
    path.write_bytes(path.read_bytes()[:-20])

    header = inspect_header(open_file(path))

    assert list(header.tensors) == ["a", "b"]
    assert header.problems[0].tensor == "a"
    assert "20 bytes are missing" in header.problems[0].summary
    with pytest.raises(CorruptCheckpoint, match="truncated"):
        read_header(path)


def test_a_symbolic_link_is_followed_as_hub_caches_use_them(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "blob", {"a": Raw("F32", (4,), bytes(16))})
    (tmp_path / "model.safetensors").symlink_to("blob")
    assert read_header(tmp_path / "model.safetensors").tensors["a"].shape == (4,)


_ENTRY = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    "entries",
    [
        {"a": None},
        {"a": []},
        {"a": {}},
        {"a": _ENTRY | {"dtype": 7}},
        {"a": _ENTRY | {"shape": {"0": 4}}},
        {"a": _ENTRY | {"shape": [True] * 4}},
        {"a": _ENTRY | {"shape": [4.0]}},
        {"a": _ENTRY | {"shape": [2**64]}},
        {"a": _ENTRY | {"shape": [2**62] * 32}},
        {"a": _ENTRY | {"shape": [1] * 100_000}},
        {"a": _ENTRY | {"data_offsets": [0]}},
        {"a": _ENTRY | {"data_offsets": [-16, 0]}},
        {"a": _ENTRY | {"data_offsets": [False, 16]}},
        {"a": _ENTRY | {"data_offsets": [2**62, 2**62 + 16]}},
        {"a": _ENTRY, "__metadata__": {"format": 1}},
        {"a": _ENTRY, "__metadata__": []},
        {"a": _ENTRY, "b": _ENTRY},
        {"a" * 1_000_000: None},
    ],
    ids=lambda entries: json.dumps(entries)[:60],
)
def test_impossible_entries_are_refused_briefly(tmp_path: Path, entries: dict[str, object]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_length(json.dumps(entries).encode()) + bytes(16))
    with pytest.raises(CorruptCheckpoint, match=r"x\.safetensors") as caught:
        read_header(path)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 100_000_001, 99_999_999, 4096])
def test_a_claimed_header_length_allocates_nothing(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    tracemalloc.start()
    try:
        with pytest.raises(CorruptCheckpoint, match=str(length)):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("entry", ['{"dtype":"U8","shape":[0],"data_offsets":[0,0]}', "0"])
def test_millions_of_tensors_are_refused_before_they_are_parsed(
    tmp_path: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, count = tmp_path / "model.safetensors", 1_100_000 if entry == "0" else 270_000
    listed = ",".join(f'"{n}":{entry}' for n in range(count))
    path.write_bytes(with_length(b"{" + listed.encode() + b"}"))
    monkeypatch.setattr(safetensors_header, "parse_object", None)

    with pytest.raises(CorruptCheckpoint, match="lists more tensors than any model has") as caught:
        read_header(path)

    (problem,) = caught.value.problems
    assert (problem.expected, problem.file) == ("at most 262144 tensors", "model.safetensors")


def test_a_file_is_read_once_for_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_checkpoint(tmp_path, dtype="F16")
    reads, pread, preadv = [], os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda *arguments: reads.append(arguments) or pread(*arguments))
    monkeypatch.setattr(os, "preadv", lambda *arguments: reads.append(arguments) or preadv(*arguments))
    header = read_header(directory / "model.safetensors")

    assert header.tensors
    assert len(reads) == 1
