"""The real MindSpore and MindFormers, in this process, with the shim active and the CPU kernels on.

What must be seen in a fresh interpreter (stock's own errors, bare scripts) runs through ``run_script``.
"""

from __future__ import annotations

import mf_qwen3_patch  # first, as the documentation says

mf_qwen3_patch.enable_cpu_kernels()

import logging
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MindSpore writes into the working directory; MindFormers opens two log files in each, and never closes them."""
    monkeypatch.chdir(tmp_path)
    yield
    for name in list(logging.root.manager.loggerDict):
        if str(tmp_path) in name:
            for handler in logging.getLogger(name).handlers:
                handler.close()


@pytest.fixture(autouse=True)
def _says_which_model(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Put the test's ``model`` marker into the report that the table of the matrix is made from, and what it ran on."""
    marker = request.node.get_closest_marker("model")
    if marker is not None:
        record_property("model", marker.args[0])
        packages = (f"{name} {version(name)}" for name in ("mindformers", "mindspore", "wrapt"))
        record_property("stack", ", ".join([*packages, f"Python {platform.python_version()}"]))
