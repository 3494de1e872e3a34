"""A command that is started in a checkpoint's directory imports nothing from there, and runs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.checkpoints import edit_config, write_checkpoint, write_json
from tests.support.processes import ROOT

# What the commands import, whatever Python itself imports for ``-m``, and what a checkpoint may name.
_MODULES = (
    *("typing", "json", "argparse", "dataclasses", "re", "string", "threading", "struct", "random"),
    *("wrapt", "numpy", "yaml", "safetensors", "tqdm", "huggingface_hub", "mindspore", "mindformers", "torch"),
    *("sitecustomize", "usercustomize", "modeling_qwen3", "configuration_qwen3", "tokenization_qwen3"),
)


def _attack(directory: Path, trace: Path) -> None:
    for module in _MODULES:
        (directory / f"{module}.py").write_text(f"open({str(trace)!r}, 'a').write({module!r})\n")
    auto_map = {"AutoConfig": "configuration_qwen3.Config", "AutoModelForCausalLM": "modeling_qwen3.Model"}
    edit_config(directory, auto_map=auto_map)
    write_json(directory / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization_qwen3.T", None]}})


def _run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-m", "mf_qwen3_patch", *command],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command", [["check", "."], ["check", ".", "--config", "predict.yaml"], ["startup-file"], ["--help"]]
)
def test_no_module_of_the_directory_is_imported(tmp_path: Path, command: list[str]) -> None:
    directory = write_checkpoint(tmp_path / "model")
    (directory / "predict.yaml").write_text("use_parallel: False\n")
    _attack(directory, tmp_path / "trace")
    done = _run(directory, *command)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "trace").exists(), (tmp_path / "trace").read_text()


def test_a_program_that_is_run_has_its_own_directory(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("VALUE = 42\n")
    (tmp_path / "program.py").write_text("import helper\nprint(helper.VALUE)\n")
    assert _run(tmp_path, "run", "program.py").stdout == "42\n"
    assert _run(tmp_path, "run", "-m", "program").stdout == "42\n"


def test_a_module_that_is_run_otherwise_has_its_own_directory(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("VALUE = 42\n")
    (tmp_path / "program.py").write_text("import mf_qwen3_patch\nimport helper\nprint(helper.VALUE)\n")
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "MF_QWEN3_PATCH": "1"}
    command = [sys.executable, "-m", "program", "mf_qwen3_patch"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout == "42\n", done.stderr
