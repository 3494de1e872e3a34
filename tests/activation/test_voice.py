"""Whose line a warning names, and which rank gives it; what an INFO line names."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import run_script

# Afterwards, since MindFormers puts a function of its own there, which drops the line.
_RECORD = """
import warnings
said = []
def record(message, category, filename, lineno, file=None, line=None):
    said.append([category.__name__, filename.rsplit("/", 1)[-1], lineno, str(message)])
"""


def said_by(source: str, directory: Path, **env: str) -> tuple[list[list[object]], dict[int, str], str]:
    """Run a user's own module; return its warnings, the lines it has marked, and the whole output."""
    source = _RECORD + textwrap.dedent(source)
    (directory / "theirs.py").write_text(source)
    finished = run_script(
        "import theirs; give(theirs.said)", cwd=directory, env={"PYTHONWARNINGS": "always", "DEVICE": "CPU", **env}
    )
    lines = source.splitlines()
    marked = {number: line.split("#")[1].strip() for number, line in enumerate(lines, 1) if "  # " in line}
    ours = [one for one in finished.result if one[0] in ("CheckpointWarning", "PatchWarning", "LatePatchWarning")]
    return ours, marked, finished.output


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that loads with one warning: a file that its index does not list lies in it."""
    path = write_checkpoint(tmp_path_factory.mktemp("model"), shards=2)
    write_checkpoint(path / "older", seed=1)
    (path / "older" / "model.safetensors").rename(path / "model-older.safetensors")
    shutil.rmtree(path / "older")
    return path


_LOADS = """
    import mf_qwen3_patch
    import mindspore
    from mindformers import AutoModel
    mindspore.set_context(mode=1, device_target="CPU")
    warnings.showwarning = record

    def of_the_program(path):
        return AutoModel.from_pretrained(path, params_dtype="fp32", compute_dtype="fp32")  # from_pretrained

    model = of_the_program({path!r})
    model.load_weights({path!r})  # load_weights
    mf_qwen3_patch.load_weights(model, {path!r})  # public
"""


def test_a_warning_names_the_line_of_the_program_that_loads(directory: Path, tmp_path: Path) -> None:
    said, marked, output = said_by(_LOADS.format(path=str(directory)), tmp_path, MF_QWEN3_PATCH_CPU="1")

    strays = [(marked.get(line), file) for _, file, line, message in said if "model-older" in message]
    assert strays == [("from_pretrained", "theirs.py"), ("load_weights", "theirs.py"), ("public", "theirs.py")]
    assert {file for _, file, _, _ in said} == {"theirs.py"}
    (log,) = tmp_path.rglob("info.log")
    ours = re.findall(r"\[INFO\] .* \[\S*/mf_qwen3_patch/(\S+):\d+\] ", log.read_text(encoding="utf-8"))
    assert {"activation/registry.py", "loading/pretrained.py"} <= set(ours)
    assert not {place for place in ours if place.endswith("log.py")}
    assert len(re.findall(r"^mf_qwen3_patch: \d+ patches applied", output, re.MULTILINE)) == 1


@pytest.mark.sweep
def test_other_ranks_are_silent(directory: Path, tmp_path: Path) -> None:
    said, _, output = said_by(_LOADS.format(path=str(directory)), tmp_path, MF_QWEN3_PATCH_CPU="1", RANK_ID="1")

    assert said == []
    assert "mf_qwen3_patch: " not in output


_LATE = """
    warnings.showwarning = record
    import holder
    import mf_qwen3_patch  # late
"""
_FOREIGN_HOOK = """
    warnings.showwarning = record
    import wrapt
    wrapt.register_post_import_hook(lambda module: delattr(module.train.serialization, "load_checkpoint"), "mindspore")
    import mf_qwen3_patch
    import mindspore  # failed
"""


@pytest.mark.sweep
@pytest.mark.parametrize("rank", ["0", "1"])
@pytest.mark.parametrize(("source", "category"), [(_LATE, "LatePatchWarning"), (_FOREIGN_HOOK, "PatchWarning")])
def test_a_warning_of_an_import_names_that_import_on_one_rank(
    source: str, category: str, rank: str, tmp_path: Path
) -> None:
    (tmp_path / "holder.py").write_text("from mindspore import load_checkpoint\n")
    said, marked, _ = said_by(source, tmp_path, RANK_ID=rank)

    (line,) = marked
    assert [one[:3] for one in said] == ([[category, "theirs.py", line]] if rank == "0" else [])
