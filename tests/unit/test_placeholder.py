"""The placeholder for hyper_parallel lets modules be imported, and nothing be computed with it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.installed import clean_environment
from tests.support.processes import ROOT


def run(script: str) -> subprocess.CompletedProcess[str]:
    place = str(ROOT / "tests" / "support" / "hyper_parallel")
    environment = clean_environment(PYTHONPATH=place)
    return subprocess.run([sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    "script",
    [
        "from hyper_parallel.core.dtensor.dtensor import DTensor; assert not isinstance(1, DTensor)",
        "from hyper_parallel import DFunction\nclass Gather(DFunction): pass",
        "from hyper_parallel.platform import get_platform; platform = get_platform()",
        "from hyper_parallel import SkipDTensorDispatch\nclass Layer: skip = SkipDTensorDispatch()",
    ],
)
def test_what_modules_do_while_they_are_imported(script: str) -> None:
    finished = run(script)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("script", ["DTensor()", "type('Own', (DTensor,), {})(1)"])
def test_a_function_that_uses_it_gets_an_error(script: str) -> None:
    finished = run(f"from hyper_parallel import DTensor\ndef compute(): {script}\ncompute()")
    assert finished.returncode == 1
    assert "hyper_parallel is only a placeholder" in finished.stderr
