"""The examples do what they say, as a user starts them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.support.installed import clean_environment
from tests.support.processes import ROOT

from mf_qwen3_patch import IncompleteCheckpoint

pytestmark = pytest.mark.sweep

MICRO = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
YAML = Path(sysconfig.get_path("purelib")) / "configs" / "qwen3" / "predict_qwen3.yaml"


def direct(*options: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "examples" / "qwen3_direct.py", *map(str, options)],
        cwd=cwd,
        env=clean_environment(PYTHONPATH=str(ROOT / "src"), MF_QWEN3_PATCH_CPU="1"),
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
    )


def test_qwen3_direct_loads_in_both_ways_and_tries_both_modes(tmp_path: Path) -> None:
    options = ("--use_training_conversion", "--tokenizer_path", MICRO, "--test_mode", "both")
    finished = direct("--config", YAML, "--model_dir", MICRO, *options, cwd=tmp_path)

    assert finished.returncode == 0, finished.stderr[-4000:]
    assert "all weights loaded" in finished.stdout
    assert "training conversion: not loaded [], left over []" in finished.stdout
    assert "finite logits" in finished.stdout
    assert "generate: 你好！我是通义千问，由阿里云开发的AI助手" in finished.stdout


def test_qwen3_direct_says_what_is_wrong_without_a_traceback(tmp_path: Path) -> None:
    incomplete = shutil.copytree(MICRO, tmp_path / "incomplete", ignore=shutil.ignore_patterns("*.safetensors"))
    finished = direct("--model_dir", incomplete, "--test_mode", "forward", cwd=tmp_path)

    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert f"[{IncompleteCheckpoint.code}]" in finished.stderr
