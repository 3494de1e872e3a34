"""Each fault gives one clear error of the right type, with file, tensor or field, and both values."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.catalog import FAULTS, SHARDS, Fault
from tests.support.checkpoints import edit_config, shard_name, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.errors import CheckpointError


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_named(fault: Fault, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", shards=SHARDS)
    assert preflight(directory).problems == ()

    overrides = fault.make(directory)
    result = preflight(directory, overrides=overrides, tensor_parallel=fault.ranks)

    with pytest.raises(CheckpointError) as caught:
        result.raise_for_problems()
    message = str(caught.value)
    assert type(caught.value) is fault.error, message
    for text in fault.says:
        assert text in message, message
    assert len(result.problems) == 1, f"one root cause is one problem:\n{message}"
    assert result.problems[0].advice or "twice" in message


def test_names_are_unique() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 45


def test_all_problems_are_reported_together_files_first(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, shards=SHARDS)
    (directory / shard_name(2, SHARDS)).unlink()
    edit_config(directory, hidden_size=64, vocab_size=100, attention_bias=True)

    result = preflight(directory)

    assert [(problem.kind.__name__, problem.field) for problem in result.problems] == [
        ("IncompleteCheckpoint", None),
        ("UnsupportedCheckpoint", "attention_bias"),
        ("ConfigMismatch", "hidden_size"),
        ("ConfigMismatch", "vocab_size"),
    ]
    with pytest.raises(CheckpointError, match=r"(?s)4 problems in .*1\. .*2\. .*3\. .*4\. "):
        result.raise_for_problems()


def test_a_directory_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere is not there"):
        preflight(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="is a file, not a directory"):
        preflight(tmp_path / "file")
