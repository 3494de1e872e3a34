"""Every block of commands or code in the READMEs is run, as far as that goes without an NPU.

A block without an entry here fails: nothing is shown to users that was not run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.checkpoints import QWEN3_14B, read_safetensors, write_sparse_checkpoint
from tests.support.installed import start
from tests.support.processes import ROOT

READMES = ("README.md", "README.zh-CN.md")
ANSWER = "你好！我是通义千问，由阿里云开发的AI助手"


def micro_qwen3() -> Path:
    """Return where the tiny model is, as the quick start knows it."""
    places = [place for top in ("examples", "src") for place in (ROOT / top).rglob("micro_qwen3")]
    (found,) = [place for place in places if (place / "model.safetensors").is_file()]
    return found


def run(command: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    finished = start(*command, cwd=cwd, timeout=300, PYTHONPATH=path, **variables)
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-4000:]
    return finished


def recipe(target: str) -> list[str]:
    """Return what ``make target`` would run, without the installation."""
    stamps = [f"--old-file=.venv/.installed{suffix}" for suffix in ("", "-test", "-build")]
    finished = run(["make", "--dry-run", *stamps, target], ROOT)
    return [line for line in finished.stdout.splitlines() if "pip install" not in line and " -m venv" not in line]


def make_demo(block: str, tmp_path: Path) -> None:
    # The real installation is run by .ci/run; here what follows it, with this interpreter.
    (command,) = [line for line in recipe("demo") if "quickstart.py" in line]
    script = next(word for word in shlex.split(command) if word.endswith("quickstart.py"))
    assert ANSWER in run([sys.executable, script], tmp_path).stdout


def make_test(block: str, tmp_path: Path) -> None:
    # This is one of the tests that it runs: look at what it would run, only.
    lines = recipe("test")
    assert any("pytest" in line and "tests/unit" in line for line in lines)
    assert any("pytest" in line and "tests/mindformers" in line for line in lines)
    assert all((ROOT / word).exists() for line in lines for word in line.split() if word.startswith("tests/"))


def makes(block: str, tmp_path: Path) -> None:
    targets = {"demo": make_demo, "test": make_test}
    for line in block.splitlines():
        program, target, *_ = line.split()
        assert program == "make"
        targets[target](block, tmp_path)


def install(block: str, tmp_path: Path) -> None:
    # tests/activation/test_installation.py runs it, in an environment of its own; here: it is what that page says.
    make, pip = block.splitlines()
    assert make == "make wheel"
    assert any("hatchling build" in line for line in recipe("wheel"))
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert f"{pip.replace('--no-deps', '--no-index --no-deps')}\n" in page


def check(block: str, tmp_path: Path) -> None:
    # Few layers: the whole model would not be said to load where the host lacks the memory for it.
    directory = write_sparse_checkpoint(tmp_path / "Qwen3-14B", shards=8, **(QWEN3_14B | {"num_hidden_layers": 2}))
    (tmp_path / "predict_qwen3.yaml").write_text("model:\n  model_config:\n    compute_dtype: bfloat16\n")
    (line,) = block.splitlines()
    line = line.replace("/data/Qwen3-14B", str(directory))
    options = re.findall(r"\[(.+?)\]", line)
    assert options
    plain = shlex.split(re.sub(r"\[.+?\]", "", line))
    assert plain[0] == "python"
    for chosen in ([], *([option] for option in options), options):
        words = [word for option in chosen for word in option.split()]
        output = run([sys.executable, *plain[1:], *words], tmp_path).stdout
        if "--json" in words:
            assert json.loads(output)["loadable"] is True
        else:
            assert "will load" in output


def load(block: str, tmp_path: Path) -> None:
    code = block.replace("/data/Qwen3-14B", str(micro_qwen3()))
    assert code != block
    output = run([sys.executable, "-c", code], tmp_path, MF_QWEN3_PATCH_CPU="1").stdout
    assert "all weights loaded" in output


def undo_and_redo(block: str, tmp_path: Path) -> None:
    seen = "print({s.state for s in mf_qwen3_patch.status()})"
    lines = [f"{line}\n{seen}" for line in block.splitlines()]
    output = run(
        [sys.executable, "-c", "\n".join(["import mf_qwen3_patch", "import mindspore", *lines])], tmp_path
    ).stdout
    states = [set(re.findall(r"'(\w+)'", line)) for line in output.splitlines() if line.startswith("{")]
    assert states == [{"applied", "pending"}, {"inactive"}, {"applied", "pending"}]


def tools(block: str, tmp_path: Path) -> None:
    """Run the commands after each other: what one has converted, another exports."""
    selftest, convert, export, status = (re.split(r" (?=\[)", line) for line in block.splitlines())

    def command(parts: list[str], *chosen: str, **places: Path) -> list[str]:
        words = [str(places.get(word, word)) for word in shlex.split(parts[0])][1:]
        options = [option.strip("[]") for option in parts[1:]]
        assert set(chosen) <= {option.split()[0] for option in options}
        return [sys.executable, *words, *(word for o in options if o.split()[0] in chosen for word in o.split())]

    output = run(command(selftest, "--device", "--json"), tmp_path).stdout
    assert json.loads(output)["passed"] is True
    source = micro_qwen3()
    for name, chosen in {"inference": (), "training": ("--layout",), "ranks": ("--tp", "--dtype")}.items():
        run(command(convert, *chosen, HF_DIR=source, OUT_DIR=tmp_path / name), tmp_path)
    assert (tmp_path / "ranks" / "rank_1" / "model.safetensors").is_file()
    for name, chosen in {"inference": (), "training": ("--layout",)}.items():
        back = tmp_path / f"{name} exported"
        run(command(export, *chosen, MF_DIR=tmp_path / name, HF_DIR=back), tmp_path)
        assert read_safetensors(back / "model.safetensors") == read_safetensors(source / "model.safetensors")
    contract = json.loads(run(command(status, "--contract", "--json"), tmp_path).stdout)["contract"]
    assert all(item["kept"] for item in contract)


# The first line of a block, and how it is run.
HOW: dict[str, Callable[[str, Path], None]] = {
    "make demo": makes,
    "make wheel": install,
    "python -m mf_qwen3_patch check": check,
    "python -m mf_qwen3_patch selftest": tools,
    "import mf_qwen3_patch  # first": load,
    "mf_qwen3_patch.status()": undo_and_redo,
}


def blocks(readme: str) -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return [block.strip() for _, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


def way_of(block: str) -> str:
    ways = [start for start in HOW if block.startswith(start)]
    assert len(ways) == 1, f"no test runs this block of a README, or two do:\n{block}"
    return ways[0]


@pytest.mark.parametrize("readme", READMES)
def test_every_block_has_a_test_and_every_test_a_block(readme: str) -> None:
    assert {way_of(block) for block in blocks(readme)} == set(HOW)


@pytest.mark.sweep
@pytest.mark.parametrize("way", HOW)
def test_the_block_runs(way: str, tmp_path: Path) -> None:
    same = {block for readme in READMES for block in blocks(readme) if way_of(block) == way}
    for number, block in enumerate(sorted(same)):
        place = tmp_path / str(number)
        place.mkdir()
        HOW[way](block, place)
