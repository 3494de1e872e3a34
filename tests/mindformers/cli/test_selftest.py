"""``selftest``: passes where the device says what HuggingFace says, and shows by how much where it does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import Tensors, edit_weights, encode, read_json, write_json
from tests.support.json_schema import check_against_schema
from tests.support.processes import ROOT, run_script

from mf_qwen3_patch.cli import selftest

EXPECTED = ROOT / "tests" / "reference_data" / "expected" / "micro_qwen3"

_COMMAND = """
    import os, sys
    from mf_qwen3_patch.cli.main import main
    sys.exit(main(sys.argv[1:]))
"""


def test_the_shipped_reference_data_are_those_of_the_test_suite() -> None:
    """Both were made by transformers, each by its own script."""
    shipped = read_json(selftest.MICRO_QWEN3 / selftest.GOLDEN_NAME)
    expected = read_json(EXPECTED.with_suffix(".json"))
    continuations = shipped["continuations"]
    assert [one["tokens"] for one in continuations] == expected["tokens"]
    assert [one["prompt"] for one in continuations] == expected["prompts"]
    assert [one["text"] for one in continuations] == expected["texts"]
    logits = np.load(EXPECTED.with_suffix(".npz"))["logits"]
    np.testing.assert_allclose([one["logits"] for one in continuations], logits, rtol=0, atol=1e-4)


def test_it_passes_here_and_its_json_is_one_object(tmp_path: Path) -> None:
    command = """
        import subprocess, sys
        done = subprocess.run([sys.executable, "-m", "mf_qwen3_patch", "selftest", "--json"], capture_output=True, text=True)
        give([done.returncode, done.stdout, done.stderr[-2000:]])
    """
    code, output, error = run_script(command, cwd=tmp_path).result
    assert code == 0, output + error
    found = json.loads(output)
    check_against_schema(found, "selftest")
    assert found["passed"]
    assert found["device"] == "CPU"
    assert found["cpu_kernels"]
    assert [one["text"] for one in found["continuations"]] == [
        "你好！我是通义千问，由阿里云开发的AI助手。",
        "Hello! I am Qwen, an AI assistant developed by Alibaba Cloud.",
    ]
    assert all(one["largest_logit_difference"] < 1e-4 for one in found["continuations"])
    assert found["versions"]["mindspore"]
    assert {patch["state"]: patch["reason"] for patch in found["patches"]} == {"applied": ""}


@pytest.mark.sweep
def test_a_machine_without_an_npu_gets_one_clear_error(tmp_path: Path) -> None:
    done = run_script(_COMMAND, "selftest", "--device", "Ascend", cwd=tmp_path, check=False)
    assert done.exit_code == 3
    assert "MindSpore cannot use the device Ascend on this machine" in done.output
    assert "--device CPU" in done.output
    assert "Traceback" not in done.output


def _copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "micro"
    shutil.copytree(selftest.MICRO_QWEN3, copy)
    monkeypatch.setattr(selftest, "MICRO_QWEN3", copy)
    return copy


def _report(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    from mf_qwen3_patch.cli.main import main

    code = main(["selftest", *arguments])
    return code, capfd.readouterr().out


def _swap_k_and_v(tensors: Tensors) -> None:
    k, v = (f"model.layers.0.self_attn.{part}_proj.weight" for part in "kv")
    tensors[k], tensors[v] = tensors[v], tensors[k]


def test_another_models_words_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    edit_weights(_copy(tmp_path, monkeypatch), _swap_k_and_v)
    code, output = _report(capfd)
    assert code == 1
    assert "selftest FAILED on CPU" in output
    assert "NOT what HuggingFace says" in output
    assert "expected: Hello! I am Qwen" in output


def test_logits_that_differ_a_little_too_much_fail_it_though_the_words_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = _copy(tmp_path, monkeypatch)
    golden: Any = read_json(copy / selftest.GOLDEN_NAME)
    golden["continuations"][1]["logits"][0] += 0.01
    write_json(copy / selftest.GOLDEN_NAME, golden)
    code, output = _report(capfd, "--json")
    # MindFormers' handler, made by an earlier test of this process, writes to pytest's standard output, too.
    (line,) = [line for line in output.splitlines() if line.startswith('{"schema_version"')]
    first, second = json.loads(line)["continuations"]
    assert code == 1
    assert first["passed"]
    assert not second["passed"]
    assert second["tokens"] == second["expected_tokens"]
    assert second["largest_logit_difference"] == pytest.approx(0.01, abs=1e-4)


def test_a_load_that_fails_is_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    norm = {"model.norm.weight": encode(np.full(64, np.nan), "BF16")}
    edit_weights(_copy(tmp_path, monkeypatch), lambda tensors: tensors.update(norm))
    code, output = _report(capfd)
    assert code == 1
    assert "InvalidValues: " in output
    assert "model.norm.weight holds NaN or infinity" in output
    assert "packages: mindformers" in output
