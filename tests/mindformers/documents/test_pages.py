"""The code on the documentation's pages, run against the tiny model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mindformers.documents.test_readme_commands import ANSWER, micro_qwen3, run
from tests.support.processes import ROOT

pytestmark = pytest.mark.sweep


def code(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run_code(source: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    local = re.sub(r"/data/Qwen3-[0-9.]+B", str(micro_qwen3()), source)
    return run([sys.executable, "-c", local], cwd, MF_QWEN3_PATCH_CPU="1")


def test_the_quick_start_speaks(tmp_path: Path) -> None:
    output = run_code("\n".join(code("quickstart.md")), tmp_path).stdout

    assert "all weights loaded" in output
    assert ANSWER in output


@pytest.mark.parametrize("page", ["WEIGHT_CONVERSION_ISSUE.md", "NUMPY_TO_PARAMETER_FIX.md"])
def test_the_first_example_of_a_problem_s_page_runs(page: str, tmp_path: Path) -> None:
    shown = code(f"problems/{page}")[0]
    name = "parameters" if "parameters" in shown else "weights"
    check = f"print(len({name}), {{type(value).__name__ for value in {name}.values()}})"

    assert re.search(r"^\d\d \{'Parameter'\}$", run_code(f"{shown}\n{check}", tmp_path).stdout, re.MULTILINE)
