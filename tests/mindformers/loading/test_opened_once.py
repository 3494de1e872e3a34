"""One load opens config.json, the index and each shard once: counted by an audit hook, in processes of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.mindformers.launcher.test_launcher import LAUNCHER, arguments
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import run_script

from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers

pytestmark = pytest.mark.sweep

_COUNTING = """
import os, sys
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
import mindformers, mindspore
from collections import Counter
opened = Counter()
counting = False
def hook(event, args):
    if counting and event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(args[0]))
        if os.fsdecode(args[0]).startswith("/proc/self/fd/"):
            return  # a descriptor that is open already, opened again: whatever the name leads to, it is the same file
        if path.startswith(os.path.realpath(sys.argv[1])) and os.path.isfile(path):
            opened[os.path.basename(os.path.normpath(os.fsdecode(args[0])))] += 1
sys.addaudithook(hook)
"""

_FROM_PRETRAINED = """
counting = True
model = mindformers.AutoModel.from_pretrained(sys.argv[2])
counting = False
give(opened)
"""

_LOAD_WEIGHTS = """
model = mindformers.AutoModel.from_pretrained(sys.argv[2])
counting = True
model.load_weights(sys.argv[3])
counting = False
give(opened)
"""

ONCE = {
    "config.json": 1,
    "model.safetensors.index.json": 1,
    **{f"model-0000{n}-of-00003.safetensors": 1 for n in (1, 2, 3)},
}


def count(script: str, root: Path, *arguments: object, cwd: Path, **env: str) -> dict[str, int]:
    return run_script(_COUNTING + script, root, *arguments, cwd=cwd, env=env).result


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("opened") / "hf", shards=3)


def test_by_path(directory: Path, tmp_path: Path) -> None:
    found = count(_FROM_PRETRAINED, directory, directory, cwd=tmp_path)
    assert {name: found.get(name) for name in ONCE} == ONCE
    assert set(found.values()) == {1}


def test_by_hub_id(directory: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--Qwen--Qwen3-Tiny"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in directory.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)

    env = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    found = count(_FROM_PRETRAINED, snapshot, "Qwen/Qwen3-Tiny", cwd=tmp_path, **env)
    assert {name: found.get(name) for name in ONCE} == ONCE


@pytest.mark.parametrize("layout", ["huggingface", "inference", "training"])
def test_load_weights(layout: Any, directory: Path, tmp_path: Path) -> None:
    source = directory
    if layout != "huggingface":
        source = tmp_path / "mf"
        convert_to_mindformers(directory, source, layout=layout, max_shard_bytes=200_000, progress=False)
    found = count(_LOAD_WEIGHTS, source, directory, source, cwd=tmp_path)
    assert found
    assert set(found.values()) == {1}
    assert len([name for name in found if name.endswith(".safetensors")]) == len(list(source.glob("*.safetensors")))


_UNDER_RUN = """
import os, runpy, sys
from mf_qwen3_patch.loading import pretrained
original = pretrained.load_weights
def counted(*arguments, **keywords):
    global counting
    counting = True
    try:
        return original(*arguments, **keywords)
    finally:
        counting = False
pretrained.load_weights = counted
root, program, sys.argv = sys.argv[1], sys.argv[2], [sys.argv[1], *sys.argv[3:]]
import builtins
sys.argv[0] = root
try:
    runpy.run_path(program, run_name="__main__")
except SystemExit:
    pass
give(opened)
"""


def test_under_the_launcher(directory: Path, tmp_path: Path) -> None:
    """What the launcher reads beside the load (its own config, the tokenizer) is not part of it."""
    micro = tmp_path / "micro"
    micro.mkdir()
    for file in (Path(__file__).parents[3] / "src" / "mf_qwen3_patch" / "micro_qwen3").iterdir():
        (micro / file.name).write_bytes(file.read_bytes())
    script = _COUNTING.replace("sys.argv[1]", repr(str(micro))) + _UNDER_RUN
    found = run_script(script, micro, LAUNCHER, *arguments(micro), cwd=tmp_path).result
    assert found == {"config.json": 1, "model.safetensors": 1}
