"""``python -m mf_qwen3_patch check``: exit codes, text and JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checkpoints import QWEN3_14B, edit_config, write_checkpoint, write_sparse_checkpoint
from tests.support.lora import write_adapter
from tests.support.quantized import write_quantized

from mf_qwen3_patch.cli import check
from mf_qwen3_patch.cli.main import main


def test_a_good_directory_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write_checkpoint(tmp_path, shards=2))]) == 0
    output = capsys.readouterr().out
    assert "will load" in output
    assert "25 tensors in 2 files" in output


def test_a_hub_id_that_a_cache_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    write_checkpoint(tmp_path / "models" / "Qwen" / "Qwen3-0___6B")

    assert main(["check", "Qwen/Qwen3-0.6B"]) == 0
    assert "models/Qwen/Qwen3-0___6B: will load" in capsys.readouterr().out
    assert main(["check", "Qwen/Qwen3-9000B"]) == 2
    assert "Qwen/Qwen3-9000B is not a directory here and no cache has it" in "".join(capsys.readouterr())


def test_a_bad_directory_exits_1_and_lists_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, hidden_size=64, vocab_size=100)
    assert main(["check", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "will not load: 2 problems" in output
    assert "1. [MFQ001] config.json says hidden_size: 64, but the weights say 80" in output
    assert "2. [MFQ001] config.json says vocab_size: 100, but the weights say 160" in output


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path, dtype="BF16")
    edit_config(tmp_path, head_dim=16)
    assert main(["check", str(tmp_path), "--json", "--tp", "2"]) == 1
    output = json.loads(capsys.readouterr().out)
    assert output["loadable"] is False
    assert output["problems"][0]["field"] == "head_dim"
    assert output["problems"][0]["kind"] == "ConfigMismatch"
    assert output["problems"][0]["code"] == "MFQ001"
    assert output["tensor_parallel"] == 2
    assert output["memory"]["dtype"] == "bfloat16"


def test_warnings_carry_their_code_in_text_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path, shards=2)
    (tmp_path / "old.safetensors").write_bytes(b"")
    assert main(["check", str(tmp_path)]) == 0
    assert "warning: [MFQ101] ignored, as they are not part of the checkpoint" in capsys.readouterr().out
    assert main(["check", str(tmp_path), "--json"]) == 0
    assert any(text.startswith("[MFQ101] ignored") for text in json.loads(capsys.readouterr().out)["warnings"])


def test_a_yaml_is_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_checkpoint(tmp_path / "model")
    yaml = tmp_path / "predict_qwen3_14b.yaml"
    yaml.write_text("model:\n  model_config:\n    hidden_size: 4096\n")
    assert main(["check", str(directory), "--config", str(yaml)]) == 1
    assert "predict_qwen3_14b.yaml says hidden_size: 4096, but the weights say 80" in capsys.readouterr().out


def test_a_qwen3_14b_shaped_directory_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_sparse_checkpoint(tmp_path, shards=8, **QWEN3_14B)
    assert main(["check", str(directory), "--tp", "8", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["tensors"] == 443
    assert len(output["files"]) == 8
    assert output["bytes"] == 2 * 14_768_307_200
    assert output["memory"]["parameters"] == 14_768_307_200


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "COMMAND"),
        (["check"], "DIR"),
        (["chek", "x"], "chek"),
        (["check", "x", "--frobnicate"], "--frobnicate"),
        (["check", "x", "--tp", "0"], "--tp"),
        (["check", "x", "--tp", "two"], "'two' is not a whole number"),
        (["check", "/nowhere/at/all"], "/nowhere/at/all is not there"),
        (["check", ".", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_wrong_usage_exits_2_without_a_traceback(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert "Traceback" not in captured.err


def test_control_c_exits_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "preflight", interrupted)
    assert main(["check", str(tmp_path)]) == 130


def test_it_needs_no_mindspore(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model")
    for name in ("mindspore", "mindformers"):
        (tmp_path / "blocked" / name).mkdir(parents=True)
        (tmp_path / "blocked" / name / "__init__.py").write_text("raise SystemExit('imported')\n")
    path = os.pathsep.join([str(tmp_path / "blocked"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "mf_qwen3_patch", "check", str(directory)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "will load" in done.stdout


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mf_qwen3_patch", "check", str(directory)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_quantized_weights_are_counted_as_what_they_become(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quantized, plain = write_quantized(tmp_path, "AWQ", dtype="BF16")
    weights = (quantized / "model.safetensors").read_bytes()

    assert main(["check", str(quantized)]) == 0
    assert "  quantized: AWQ, 14 tensors; dequantized to bfloat16\n" in capsys.readouterr().out
    assert main(["check", str(quantized), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["check", str(plain), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)

    assert found["quantized"] == "AWQ"
    assert expected["quantized"] is None
    assert {**found["memory"], "host_bytes_free": 0} == {**expected["memory"], "host_bytes_free": 0}
    assert found["tensors"] == expected["tensors"] == 25
    assert found["bytes"] == len(weights) - 8 - int.from_bytes(weights[:8], "little")


def test_quantized_weights_are_refused_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quantized, _ = write_quantized(tmp_path, "GPTQ")
    monkeypatch.setenv("MF_QWEN3_PATCH_DEQUANTIZE", "0")

    assert main(["check", str(quantized)]) == 1
    output = capsys.readouterr().out
    assert "the weights are quantized (gptq)" in output
    assert "leave dequantize=False and MF_QWEN3_PATCH_DEQUANTIZE=0 away" in output


@pytest.mark.parametrize(("gib", "code", "verdict"), [("64", 0, "fits"), ("0.001", 1, "does not fit")])
def test_memory_is_planned(
    gib: str, code: int, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path, dtype="BF16")
    command = ["check", str(tmp_path), "--device-memory", gib, "--seq-length", "65536"]
    assert main(command) == code
    assert f"  {verdict}; numbers of ranks that do: " in capsys.readouterr().out
    assert main([*command, "--json"]) == code

    plan = json.loads(capsys.readouterr().out)["device_plan"]
    assert plan["fits"] is (code == 0)
    assert plan["cache_tokens"] == 65536


def test_what_the_host_has_no_memory_for_is_not_said_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mf_qwen3_patch.checkpoint.checks.preflight.free_host_memory", lambda: 1000)
    main(["check", str(write_checkpoint(tmp_path))])

    output = capsys.readouterr().out
    assert "will load" not in output
    assert "this host lacks the memory" in output


def test_an_adapter_is_checked_with_its_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, adapter = write_checkpoint(tmp_path / "base"), tmp_path / "adapter"
    write_adapter(adapter, base)

    assert main(["check", str(adapter)]) == 0
    line = f"  adapter: LoRA, {adapter}, merged into 14 tensors\n"
    assert line in capsys.readouterr().out
    assert main(["check", str(base), "--adapter", str(adapter)]) == 0
    assert line in capsys.readouterr().out
    assert main(["check", str(base), "--adapter", str(adapter), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["adapter"], found["files"]) == (str(adapter), ["model.safetensors", "adapter_model.safetensors"])
    assert main(["check", str(base), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["adapter"] is None


def test_an_adapter_that_can_not_be_merged_will_not_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, adapter = write_checkpoint(tmp_path / "base"), tmp_path / "adapter"
    write_adapter(adapter, base, use_dora=True)

    assert main(["check", str(adapter)]) == 1
    assert "the adapter is DoRA, and is not merged here" in capsys.readouterr().out
