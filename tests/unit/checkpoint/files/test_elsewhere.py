"""A directory that holds no model itself, but leads to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.hub import COMMIT, put_into_huggingface_cache

from mf_qwen3_patch.checkpoint.checks.preflight import preflight

NAME = "Qwen/Qwen3-0.6B"


def only_advice(directory: Path) -> str:
    (problem,) = preflight(directory).problems
    assert problem.summary == f"there is no model in the directory {directory}"
    return str(problem.advice)


@pytest.mark.parametrize("place", ["", "models--Qwen--Qwen3-0.6B", "models--Qwen--Qwen3-0.6B/snapshots"])
def test_a_place_in_the_hub_cache_leads_to_the_snapshot(place: str, tmp_path: Path) -> None:
    snapshot = put_into_huggingface_cache(tmp_path / "hub", NAME, write_checkpoint(tmp_path / "model"))
    assert snapshot.name == COMMIT
    assert only_advice(tmp_path / "hub" / place) == f"did you mean {snapshot}?"


def test_the_parent_of_a_model(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "Qwen3-0.6B")
    assert only_advice(tmp_path) == f"did you mean {tmp_path / 'Qwen3-0.6B'}?"


def test_the_parent_of_several(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_checkpoint(tmp_path / name)
    assert only_advice(tmp_path) == f"did you mean {tmp_path / 'a'} or {tmp_path / 'b'}?"


def test_an_empty_directory_leads_nowhere(tmp_path: Path) -> None:
    assert only_advice(tmp_path) == "check the path"
