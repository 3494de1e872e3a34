"""``python -m mf_qwen3_patch status``: what one pastes into a bug report."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.support.installed import start
from tests.support.json_schema import check_against_schema
from tests.support.processes import ROOT

from mf_qwen3_patch.activation.registry import PATCHES


def status(python: Path, *options: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return start(python, "-m", "mf_qwen3_patch", "status", *options, cwd=cwd, timeout=100, **variables)


def test_json_on_the_real_stack(installed_python: Path, tmp_path: Path) -> None:
    variables = {"MF_QWEN3_PATCH": "1", "MF_QWEN3_PATCH_DISABLE": "eager_prefill"}
    variables |= {"HF_ENDPOINT": "https://mirror.example", "ASCEND_RT_VISIBLE_DEVICES": "0,1"}
    finished = status(installed_python, "--json", cwd=tmp_path, HF_TOKEN="secret", **variables)

    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert [line for line in finished.stderr.splitlines() if not line.startswith("mf_qwen3_patch: ")] == []
    check_against_schema(found, "status")
    assert set(found["versions"]) >= {"mindformers", "mindspore", "numpy", "safetensors", "wrapt"}
    assert found["versions"]["mindformers"] == version("mindformers")
    assert found["tested"] is True
    assert (found["device"], found["import_error"], found["cpu_kernels"]) == ("CPU", None, False)
    states = {patch["name"]: (patch["state"], patch["reason"]) for patch in found["patches"]}
    expected = {patch.name: ("applied", "") for patch in PATCHES}
    assert states == expected | {"eager_prefill": ("skipped", "left out by MF_QWEN3_PATCH_DISABLE")}
    assert found["provided_upstream"] == {}
    pth = next(installed_python.parent.parent.glob("lib*/python*/site-packages/mf_qwen3_patch.pth"))
    assert found["injection"] == {"active": True, "ways": [pth.name], "pth": str(pth), "startup_file": False}
    assert variables.items() <= found["environment"].items()
    assert "secret" not in finished.stdout


@pytest.mark.sweep
def test_what_upstream_provides_itself_is_said(bare_python: Path, tmp_path: Path) -> None:
    # A later MindFormers that maps qwen3, as far as two of the patches can tell.
    (tmp_path / "sitecustomize.py").write_text(
        "import wrapt\n"
        "def later(module):\n"
        "    from mindformers import AutoConfig\n"
        "    from mindformers.models.qwen3 import Qwen3Config\n"
        "    AutoConfig.register('qwen3', Qwen3Config)\n"
        "wrapt.register_post_import_hook(later, 'mindformers')\n"
    )
    finished = status(bare_python, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT / 'src'}")

    assert "upstream provides itself: auto_config: MindFormers' AutoConfig knows qwen3 itself" in finished.stdout
    assert "auto_config          mindformers  skipped: MindFormers' AutoConfig knows qwen3 itself" in finished.stdout
    assert "injection: not injected: programs import the shim themselves" in finished.stdout
    assert finished.returncode == 0


def test_a_stack_that_cannot_be_imported_is_reported_not_raised(installed_python: Path, tmp_path: Path) -> None:
    (tmp_path / "mindspore.py").write_text("raise ImportError('libascend_hal.so: cannot open shared object file')\n")
    finished = status(installed_python, cwd=tmp_path, PYTHONPATH=str(tmp_path), MF_QWEN3_PATCH="0")

    assert finished.returncode == 3
    assert "import failed: ImportError: libascend_hal.so" in finished.stdout
    assert "device: unknown; CPU stand-ins: off" in finished.stdout
    assert "injection: not injected: MF_QWEN3_PATCH=0" in finished.stdout
    assert "Traceback" not in finished.stderr


def test_a_program_that_run_starts_is_injected(installed_python: Path, tmp_path: Path) -> None:
    (tmp_path / "mindspore.py").write_text("raise ImportError('not here')\n")
    command = [installed_python, "-m", "mf_qwen3_patch", "run", "-m", "mf_qwen3_patch", "status"]
    finished = start(*command, cwd=tmp_path, timeout=100, PYTHONPATH=str(tmp_path))

    assert "injection: active in every program started from here, by mf_qwen3_patch.pth" in finished.stdout
