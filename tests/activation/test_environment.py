"""``MF_QWEN3_PATCH=1 python anything.py``: the .pth that is installed with the package."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.support.installed import install, start
from tests.support.processes import ROOT

_IS_THERE = "import sys; print('mf_qwen3_patch' in sys.modules)"


def run(python: Path, *arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return start(python, *arguments, cwd=cwd, timeout=120, **variables)


@pytest.mark.parametrize("value", ["1", "strict"])
def test_a_program_that_never_heard_of_the_shim_has_it(value: str, installed_python: Path, tmp_path: Path) -> None:
    finished = run(installed_python, "-c", _IS_THERE, cwd=tmp_path, MF_QWEN3_PATCH=value)

    assert (finished.stdout, finished.stderr, finished.returncode) == ("True\n", "", 0)


@pytest.mark.parametrize("variables", [{}, {"MF_QWEN3_PATCH": ""}, {"MF_QWEN3_PATCH": "0"}])
def test_without_the_variable_nothing_is_imported(
    variables: dict[str, str], installed_python: Path, tmp_path: Path
) -> None:
    script = "import sys; print(sorted(m for m in sys.modules if m.split('.')[0] in ('mf_qwen3_patch', 'wrapt')))"
    finished = run(installed_python, "-c", script, cwd=tmp_path, **variables)

    assert (finished.stdout, finished.stderr, finished.returncode) == ("[]\n", "", 0)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MF_QWEN3_PATCH": "yes"}, "MF_QWEN3_PATCH='yes' is not one of '1', '0', 'strict'"),
        (
            {"MF_QWEN3_PATCH": "1", "MF_QWEN3_PATCH_DISABLE": "load_weihgts"},
            "MF_QWEN3_PATCH_DISABLE names no such patch: load_weihgts; the patches are: auto_config, ",
        ),
    ],
)
def test_a_bad_value_is_a_warning_and_the_program_runs(
    variables: dict[str, str], message: str, installed_python: Path, tmp_path: Path
) -> None:
    finished = run(installed_python, "-c", "print('ran')", cwd=tmp_path, **variables)

    assert (finished.stdout, finished.returncode) == ("ran\n", 0)
    assert finished.stderr.count(f"PatchWarning: [MFQ102] {message}") == 1
    assert "Traceback" not in finished.stderr


def test_an_editable_installation_has_it_too(tmp_path: Path) -> None:
    python = install(tmp_path / "venv", editable=True)
    script = "import sys; m = sys.modules.get('mf_qwen3_patch'); print(m and m.__file__)"

    assert run(python, "-c", script, cwd=tmp_path, MF_QWEN3_PATCH="1").stdout.startswith(str(ROOT / "src"))
    assert run(python, "-c", script, cwd=tmp_path).stdout == "None\n"


_CHILDREN = """
import json, multiprocessing, subprocess, sys

def look(results):
    LOOK

if __name__ == "__main__":
    found = {}
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        results = context.Queue()
        child = context.Process(target=look, args=(results,))
        child.start()
        found[method] = results.get(timeout=100)
        child.join()
    code = "import sys; print('mf_qwen3_patch' in sys.modules)"
    found["subprocess"] = subprocess.check_output([sys.executable, "-c", code], text=True) == "True\\n"
    print("@@", json.dumps(found))
"""
_PATCHED = """import mindspore
    results.put("mf_qwen3_patch/patches/" in mindspore.load_checkpoint.__code__.co_filename)"""
_ARMED = """shim = sys.modules.get("mf_qwen3_patch")
    results.put(shim is not None and {patch.state for patch in shim.status()} == {"pending"})"""
_IN_ALL = dict.fromkeys(("fork", "spawn", "forkserver", "subprocess"), True)


def children(finished: subprocess.CompletedProcess[str]) -> dict[str, bool]:
    (line,) = [line for line in finished.stdout.splitlines() if line.startswith("@@ ")] or [finished.stderr]
    found: dict[str, bool] = json.loads(line.removeprefix("@@ "))
    return found


def test_children_of_every_start_method_have_it(installed_python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_CHILDREN.replace("LOOK", _PATCHED))

    assert children(run(installed_python, "program.py", cwd=tmp_path, MF_QWEN3_PATCH="1")) == _IN_ALL


def test_run_reaches_the_children_where_the_package_is_only_on_pythonpath(bare_python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_CHILDREN.replace("LOOK", _ARMED))
    arguments = ["-m", "mf_qwen3_patch", "run", "program.py"]

    assert children(run(bare_python, *arguments, cwd=tmp_path, PYTHONPATH=str(ROOT / "src"))) == _IN_ALL
