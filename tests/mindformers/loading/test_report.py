"""The report of a load as a file: ``save`` and ``MF_QWEN3_PATCH_REPORT``."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.mindformers.loading.transfer.stock import build
from tests.support.checkpoints import write_checkpoint
from tests.support.json_schema import check_against_schema

import mf_qwen3_patch
from mf_qwen3_patch import LoadReport


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def report(directory: Path) -> LoadReport:
    return mf_qwen3_patch.load_weights(build(directory), directory)


def test_it_says_where_when_and_with_what(report: LoadReport) -> None:
    found = json.loads(report.to_json())

    check_against_schema(found, "report")
    assert found["device"] == "CPU"
    assert found["versions"]["mf_qwen3_patch"] == mf_qwen3_patch.__version__
    assert found["versions"]["mindspore"] == version("mindspore")
    assert abs(datetime.fromisoformat(found["time"]) - datetime.now(timezone.utc)) < timedelta(hours=1)
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    now = int(status["VmHWM"].split()[0]) * 1024
    assert 0.5 * now < found["host_peak_bytes"] <= 1.01 * now


def test_it_is_saved_whole_and_over_an_older_one(report: LoadReport, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    for seconds in (1.0, 2.0):
        assert replace(report, seconds=seconds).save(path) == path

    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(replace(report, seconds=2.0).to_json())
    assert list(path.parent.iterdir()) == [path]


def test_each_rank_has_a_file_of_its_own(report: LoadReport, tmp_path: Path) -> None:
    shared = {"tensor_parallel": 2, "pipeline_parallel": 2}
    for rank in range(4):
        own = replace(report, rank=rank % 2, pipeline_stage=rank // 2, global_rank=rank, **shared)
        own.save(tmp_path / "report.json")

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"report.rank_{rank}.json" for rank in range(4)]
    assert ", rank 1 of 2, pipeline stage 1 of 2: " in own.summary


def test_the_variable_names_the_file(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_REPORT", str(tmp_path / "report.json"))
    report = mf_qwen3_patch.load_weights(build(directory), directory)

    assert (tmp_path / "report.json").read_text(encoding="utf-8") == report.to_json() + "\n"


def test_a_file_that_cannot_be_written_does_not_spoil_the_load(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MF_QWEN3_PATCH_REPORT", str(tmp_path / "file" / "report.json"))
    network = build(directory)
    report = mf_qwen3_patch.load_weights(network, directory)

    assert network.mf_qwen3_report is report
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith("the report was not written, as MF_QWEN3_PATCH_REPORT says: ")
