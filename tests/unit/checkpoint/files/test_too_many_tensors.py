"""A checkpoint with more tensors than any model has takes seconds to refuse, in however many files they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.files import directory, shards
from mf_qwen3_patch.checkpoint.files.index import INDEX_NAME
from mf_qwen3_patch.checkpoint.files.safetensors_header import inspect_header
from mf_qwen3_patch.errors import CorruptCheckpoint


@pytest.mark.parametrize("with_index", [True, False])
def test_many_in_all_files_together(with_index: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write_checkpoint(tmp_path, shards=5)
    names = sorted(path.name for path in checkpoint.glob("*.safetensors"))
    read: list[str] = []
    monkeypatch.setattr(directory, "inspect_header", lambda file: read.append(file.name) or inspect_header(file))
    found = preflight(checkpoint)
    assert (found.problems, read) == ((), names)
    if not with_index:
        (checkpoint / INDEX_NAME).unlink()
    read.clear()
    monkeypatch.setattr(shards, "MAX_TENSORS", 12)
    (problem,) = preflight(checkpoint).problems

    assert problem.kind is CorruptCheckpoint
    assert problem.file in names[1:4]
    assert problem.summary == f"the files up to {problem.file} list more tensors than any model has"
    assert read == names[: names.index(str(problem.file)) + 1]


def test_many_in_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write_checkpoint(tmp_path, shards=3)
    index = json.loads((checkpoint / INDEX_NAME).read_text())
    index["weight_map"] |= {f"tensor.{number}": "model-00001-of-00003.safetensors" for number in range(1 << 18)}
    (checkpoint / INDEX_NAME).write_text(json.dumps(index))
    monkeypatch.setattr(shards, "MAX_TENSORS", 12)  # one cause is one problem
    (problem,) = preflight(checkpoint).problems

    assert (problem.kind, problem.file) == (CorruptCheckpoint, INDEX_NAME)
    assert problem.summary == f"{INDEX_NAME} lists more tensors than any model has"
