"""Ctrl-C on a real terminal, while a program loads and while ``convert --tp`` writes; nobody has set a handler."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import ROOT
from tests.support.terminal import Terminal

_PROGRAM = """
import json, os, sys, threading, time
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from mindformers import AutoModel

small, large, entry = sys.argv[1:]
model = AutoModel.from_pretrained(large) if entry == "load_weights" else None
before = model and [parameter.asnumpy().copy() for parameter in model.get_parameters()]
print("@@ready@@", flush=True)
interrupted = False
try:
    model.load_weights(large) if model else AutoModel.from_pretrained(large)
except KeyboardInterrupt:
    interrupted = True
unchanged = not model or all((a == b.asnumpy()).all() for a, b in zip(before, model.get_parameters()))
end = time.monotonic() + 5
while time.monotonic() < end:  # one that was starting when Ctrl-C came may only now begin, and end
    threads = [thread for thread in threading.enumerate() if "mf_qwen3_patch" in thread.name]
    if not threads:
        break
    time.sleep(0.01)
running = [thread.name for thread in threads if thread.is_alive()]
tokens = AutoModel.from_pretrained(small).generate([[5, 6, 7]], max_new_tokens=2, do_sample=False)
with open("found.json", "w") as file:
    json.dump([interrupted, unchanged, running, len(tokens[0])], file)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose load takes long enough to be interrupted."""
    size = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 4, "vocab_size": 16384}
    return write_checkpoint(tmp_path_factory.mktemp("large"), **size)


def _environment() -> dict[str, str]:
    forgotten = ("RUN_MODE", "RANK_ID")
    kept = {n: v for n, v in os.environ.items() if n not in forgotten and not n.startswith("MF_QWEN3_PATCH")}
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MF_QWEN3_PATCH_THREADS": "1"}


@pytest.mark.parametrize("entry", ["from_pretrained", pytest.param("load_weights", marks=pytest.mark.sweep)])
def test_a_program_that_loads_gets_keyboard_interrupt(entry: str, large: Path, tmp_path: Path) -> None:
    small = write_checkpoint(tmp_path / "small")
    command = [sys.executable, "-c", _PROGRAM, small, large, entry]
    terminal = Terminal(command, cwd=tmp_path, env=_environment())
    terminal.wait_for("@@ready@@")
    terminal.output = b""
    terminal.wait_for("Loading weights")
    terminal.press_control_c()

    assert terminal.exit_code() == 0, terminal.output.decode(errors="replace")[-3000:]
    interrupted, unchanged, running, length = json.loads((tmp_path / "found.json").read_text())
    assert interrupted
    assert unchanged
    assert running == []
    assert length == 5


@pytest.mark.sweep
def test_convert_for_ranks_ends_with_130_and_goes_on(large: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mf_qwen3_patch", "convert", large, tmp_path / "out", "--tp", "2"]
    terminal = Terminal(command, cwd=tmp_path, env=_environment())
    terminal.wait_for("Writing weights")
    terminal.press_control_c()

    assert terminal.exit_code() == 130, terminal.output.decode(errors="replace")[-3000:]
    assert b"stopped; the same command goes on" in terminal.output
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial").is_dir()
    again = Terminal(command, cwd=tmp_path, env=_environment())
    assert again.exit_code() == 0, again.output.decode(errors="replace")[-3000:]
    assert sorted(path.name for path in (tmp_path / "out").glob("rank_*")) == ["rank_0", "rank_1"]
