"""The real MindSpore and MindFormers, in this process, with the shim active and the CPU kernels on.

What must be seen in a fresh interpreter (stock's own errors, bare scripts) runs through ``run_script``.
"""

from __future__ import annotations

import mf_qwen3_patch  # first, as the documentation says

mf_qwen3_patch.enable_cpu_kernels()

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MindSpore writes into the working directory."""
    monkeypatch.chdir(tmp_path)
