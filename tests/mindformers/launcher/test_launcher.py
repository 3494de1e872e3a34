"""The launcher's road, from the YAML that MindFormers ships to text, by every way that leaves the launcher as it is."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.support.checkpoints import edit_weights, zeros
from tests.support.installed import bare, clean_environment, install
from tests.support.lora import edit_adapter, write_adapter
from tests.support.processes import ROOT

LAUNCHER = Path(__file__).with_name("launcher.py")
MICRO_QWEN3 = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
YAML = Path(sysconfig.get_path("purelib")) / "configs" / "qwen3" / "predict_qwen3.yaml"
ANSWER = "你好！我是通义千问，由阿里云开发的AI助手。"
INJECTED = {"MF_QWEN3_PATCH": "1", "MF_QWEN3_PATCH_CPU": "1"}

# Each in a line of its own.
REPORT = (
    "weights match config",
    "converted",
    "all weights loaded",
    "parameters checked",
    "all-zero",
    "NaN",
)


@pytest.fixture(scope="module")
def installed_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed") / "venv")


def arguments(directory: Path, *more: str) -> list[str]:
    options = ["--config", str(YAML), "--predict_data", "你好"]
    return [*options, "--pretrained_model_dir", str(directory), "--output_dir", "out", *more]


def launch(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=clean_environment(**variables),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=280,
    )


def assert_loaded_and_answered(log: str) -> None:
    assert f"'text_generation_text': ['{ANSWER}']" in log, log[-5000:]
    for line in REPORT:
        assert re.search(rf"^mf_qwen3_patch:   .*{line}", log, re.MULTILINE), line


def test_run_takes_it_to_the_end(tmp_path: Path) -> None:
    # Not installed at all, only importable: the harder case.
    python = bare(tmp_path / "venv")
    command = [python, "-m", "mf_qwen3_patch", "run", "--cpu", LAUNCHER, *arguments(MICRO_QWEN3)]
    finished = launch(*command, cwd=tmp_path, PYTHONPATH=str(ROOT / "src"))

    assert finished.returncode == 0, finished.stdout[-5000:]
    assert_loaded_and_answered(finished.stdout)


def test_the_environment_variable_takes_it_to_the_end(installed_python: Path, tmp_path: Path) -> None:
    finished = launch(installed_python, LAUNCHER, *arguments(MICRO_QWEN3), cwd=tmp_path, **INJECTED)

    assert finished.returncode == 0, finished.stdout[-5000:]
    assert_loaded_and_answered(finished.stdout)


def test_two_workers_under_msrun(installed_python: Path, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    msrun = [installed_python, Path(sys.executable).with_name("msrun"), "--worker_num=2", "--local_worker_num=2"]
    options = [f"--master_port={port}", "--join=True", "--log_dir=logs", LAUNCHER]
    more = arguments(MICRO_QWEN3, "--use_parallel", "--parallel_config.model_parallel", "2")
    # The workers are started as "python".
    path = os.pathsep.join([str(installed_python.parent), os.environ["PATH"]])
    finished = launch(*msrun, *options, *more, cwd=tmp_path, PATH=path, **INJECTED)

    logs = [log.read_text() for log in sorted((tmp_path / "logs").glob("worker_*.log"))]
    assert len(logs) == 2, finished.stdout[-5000:]
    assert_loaded_and_answered(logs[0])
    assert "rank 0 of 2" in logs[0]
    assert ANSWER in logs[1]
    assert "all weights loaded" not in logs[1]


@pytest.mark.sweep
def test_a_missing_tensor_and_a_contradicting_yaml_are_clear_errors(installed_python: Path, tmp_path: Path) -> None:
    lacking = tmp_path / "lacking"
    shutil.copytree(MICRO_QWEN3, lacking)
    edit_weights(lacking, lambda tensors: tensors.pop("model.layers.0.self_attn.k_proj.weight"))
    incomplete = launch(installed_python, LAUNCHER, *arguments(lacking), cwd=tmp_path, **INJECTED)

    assert incomplete.returncode == 1
    assert "IncompleteCheckpoint: " in incomplete.stdout
    assert "model.layers.0.self_attn.k_proj.weight" in incomplete.stdout

    contradicting = arguments(MICRO_QWEN3, "--model.model_config.hidden_size", "96")
    mismatch = launch(installed_python, LAUNCHER, *contradicting, cwd=tmp_path, **INJECTED)

    assert mismatch.returncode == 1
    assert "ConfigMismatch: " in mismatch.stdout
    assert "field hidden_size" in mismatch.stdout
    for finished in (incomplete, mismatch):
        assert "text_generation_text" not in finished.stdout


@pytest.mark.sweep
def test_load_checkpoint_may_be_the_one_weight_file(tmp_path: Path) -> None:
    python = bare(tmp_path / "venv")
    file = ("--load_checkpoint", str(MICRO_QWEN3 / "model.safetensors"))
    command = [python, "-m", "mf_qwen3_patch", "run", "--cpu", LAUNCHER, *arguments(MICRO_QWEN3, *file)]
    finished = launch(*command, cwd=tmp_path, PYTHONPATH=str(ROOT / "src"))

    assert finished.returncode == 0, finished.stdout[-5000:]
    assert_loaded_and_answered(finished.stdout)


@pytest.mark.sweep
def test_an_adapters_directory_is_as_good_as_the_merged_model(tmp_path: Path) -> None:
    """Its config.json and its tokenizer are the base model's; an adapter with zeros in B answers as the base."""
    adapter = tmp_path / "adapter"
    write_adapter(adapter, MICRO_QWEN3, r".*self_attn\..*_proj")
    edit_adapter(adapter, lambda found: found.update({n: zeros(*t.shape) for n, t in found.items() if "lora_B" in n}))
    python = bare(tmp_path / "venv")
    command = [python, "-m", "mf_qwen3_patch", "run", "--cpu", LAUNCHER, *arguments(adapter)]
    finished = launch(*command, cwd=tmp_path, PYTHONPATH=str(ROOT / "src"))

    assert finished.returncode == 0, finished.stdout[-5000:]
    assert_loaded_and_answered(finished.stdout)
    assert "LoRA" in finished.stdout
