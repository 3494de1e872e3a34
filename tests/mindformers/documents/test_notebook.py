"""examples/notebook.ipynb, run from its first cell to its last by a Jupyter kernel of this interpreter."""

from __future__ import annotations

import json

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from tests.support.installed import clean_environment
from tests.support.processes import ROOT

from mf_qwen3_patch.activation.registry import PATCHES

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


def read() -> nbformat.NotebookNode:
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    return notebook


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each cell has printed, by its id."""
    place = tmp_path_factory.mktemp("notebook")
    notebook = read()
    # Without kernels of the user's or of the system's, python3 is this interpreter.
    kernels = KernelSpecManager(kernel_dirs=[])
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=kernels, connection_file=str(place / "kernel.json")
    )
    client = NotebookClient(notebook, km=manager, timeout=300, startup_timeout=100)
    client.execute(cwd=str(place), env=clean_environment(PYTHONPATH=str(ROOT / "src"), IPYTHONDIR=str(place)))
    return {
        cell.id: "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def test_the_model_says_its_sentences(printed: dict[str, str]) -> None:
    golden = json.loads((ROOT / "src/mf_qwen3_patch/micro_qwen3/golden.json").read_text(encoding="utf-8"))
    sentences = [continuation["text"] for continuation in golden["continuations"]]

    assert "你好！我是通义千问，由阿里云开发的AI助手。" in sentences
    # MindFormers' log lines are between them.
    assert [line for line in printed["generate"].splitlines() if line in sentences] == sentences


def test_check_report_and_chat_template_are_shown(printed: dict[str, str]) -> None:
    assert "will load" in printed["check"]
    assert "all weights loaded" in printed["report"]
    assert printed["tokenizer"].strip() == (
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>"
    )


def test_every_patch_is_applied(printed: dict[str, str]) -> None:
    assert [line.split() for line in printed["status"].splitlines()] == [
        [patch.name, patch.target, "applied"] for patch in PATCHES
    ]


def test_it_is_committed_without_outputs() -> None:
    cells = [cell for cell in read().cells if cell.cell_type == "code"]

    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
