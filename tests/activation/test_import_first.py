"""Whatever of the package is imported first, before MindFormers: every patch is applied.

Each module and each public name gets a process of its own, forked from one in which nothing of MindSpore and MindFormers is
imported, only what takes long to import besides them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.processes import run_script

_SCRIPT = """
import importlib, json, os, pkgutil, sys, traceback
import numpy, transformers, datasets, pandas, scipy, tqdm.auto
import mf_qwen3_patch

names = [module.name for module in pkgutil.walk_packages(mf_qwen3_patch.__path__, "mf_qwen3_patch.")]
# Files for other interpreters: startup files, and the command line itself.
names = [name for name in names if ".injection" not in name and not name.endswith("__main__")]
subjects = [*(("module", name) for name in names), *(("name", name) for name in mf_qwen3_patch.__all__)]
if sys.argv[1]:
    subjects = [subject for subject in subjects if sys.argv[1] in subject[1]]
assert not {"mindspore", "mindformers"} & sys.modules.keys()

def take(kind, name):
    if kind == "module":
        importlib.import_module(name)
    else:
        getattr(mf_qwen3_patch, name)

def in_child(subject, whole=False):
    # A module that imports neither leaves nothing half imported: one of them stands for all.
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            take(*subject)
            touched = bool({"mindspore", "mindformers"} & sys.modules.keys())
            result = {"whole": touched or whole}
            if result["whole"]:
                import mindformers
                result["failed"] = [f"{p.name}: {p.reason}" for p in mf_qwen3_patch.status() if p.state != "applied"]
        except BaseException:
            result = {"error": traceback.format_exc()[-1500:]}
        os.write(writing, json.dumps(result).encode()[:60000])
        os._exit(0)
    os.close(writing)
    data = b""
    while chunk := os.read(reading, 65536):
        data += chunk
    os.close(reading)
    os.waitpid(pid, 0)
    return json.loads(data)

os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
results = {"/".join(subject): in_child(subject) for subject in subjects}
results["module/mf_qwen3_patch"] = in_child(("module", "mf_qwen3_patch"), whole=True)
give(results)
"""


def failures(tmp_path: Path, only: str = "", **env: str) -> tuple[dict[str, object], int]:
    results = run_script(_SCRIPT, only, cwd=tmp_path, env=env, timeout=900).result
    wrong = {name: result for name, result in results.items() if result.get("error") or result.get("failed")}
    return wrong, sum(result.get("whole", False) for result in results.values())


@pytest.mark.sweep
def test_every_module_and_every_public_name(tmp_path: Path) -> None:
    wrong, whole = failures(tmp_path)
    assert whole > 20
    assert wrong == {}


@pytest.mark.sweep
def test_the_cpu_kernels_where_they_are_on(tmp_path: Path) -> None:
    wrong, whole = failures(tmp_path, "cpu_kernels", MF_QWEN3_PATCH_CPU="1")
    assert whole > 3
    assert wrong == {}
