"""Interactive sessions, in a real terminal: Python's own, IPython's, and a Jupyter kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.installed import clean_environment
from tests.support.processes import ROOT

_STARTUP_FILE = str(ROOT / "src" / "mf_qwen3_patch" / "activation" / "injection" / "pythonstartup.py")
_PYTHONPATH = {"PYTHONPATH": str(ROOT / "src"), "TERM": "dumb"}

# What a session that took a function from mindspore before it loaded the extension must see.
_LATE = "from mindspore import load_checkpoint; import mindspore"
_LOADED = (
    "'mf_qwen3_patch/patches/' in load_checkpoint.__code__.co_filename, load_checkpoint is mindspore.load_checkpoint"
)


class Session:
    """A program in a terminal of its own."""

    def __init__(self, *command: object, cwd: Path, prompt: str, **variables: str) -> None:
        pexpect = pytest.importorskip("pexpect")
        program, *arguments = map(str, command)
        environ: Any = clean_environment(**_PYTHONPATH, **variables)
        self._child = pexpect.spawn(program, arguments, cwd=str(cwd), env=environ, encoding="utf-8", timeout=60)
        self._prompt = prompt
        self.banner = self._until_prompt()

    def say(self, line: str) -> str:
        """Type a line; return what the session prints before its next prompt."""
        self._child.sendline(line)
        return self._until_prompt().replace("\r\n", "\n").strip().removeprefix(line).strip()

    def close(self) -> None:
        self._child.sendeof()
        self._child.close(force=True)

    def _until_prompt(self) -> str:
        self._child.expect(self._prompt)
        return str(self._child.before)


def test_the_command_prints_the_file_and_how_to_keep_ones_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mf_qwen3_patch", "startup-file"]
    run = {"text": True, "capture_output": True, "check": True, "cwd": tmp_path}
    alone = subprocess.run(command, env=clean_environment(**_PYTHONPATH), **run)
    beside = subprocess.run(command, env=clean_environment(**_PYTHONPATH, PYTHONSTARTUP="/home/me/.pythonrc"), **run)

    assert (alone.stdout, alone.stderr) == (_STARTUP_FILE + "\n", "")
    assert beside.stdout == _STARTUP_FILE + "\n"
    assert "MF_QWEN3_PATCH_STARTUP_NEXT=/home/me/.pythonrc" in beside.stderr


def test_pythonstartup_activates_and_chains_and_leaves_no_names(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("answer = 42\n")
    session = Session(
        sys.executable,
        cwd=tmp_path,
        prompt=">>> ",
        PYTHONSTARTUP=_STARTUP_FILE,
        MF_QWEN3_PATCH_STARTUP_NEXT=str(tmp_path / "mine.py"),
    )

    assert session.say("answer") == "42"
    assert session.say("[name for name in dir() if not name.startswith('__')]") == "['answer']"
    assert session.say("import sys; 'mf_qwen3_patch' in sys.modules") == "True"
    assert session.say("import mf_qwen3_patch; {s.state for s in mf_qwen3_patch.status()}") == "{'pending'}"
    session.close()


def test_a_bad_setting_is_a_warning_and_the_chained_file_still_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("answer = 42\n")
    session = Session(
        sys.executable,
        cwd=tmp_path,
        prompt=">>> ",
        PYTHONSTARTUP=_STARTUP_FILE,
        MF_QWEN3_PATCH="on",
        MF_QWEN3_PATCH_STARTUP_NEXT=str(tmp_path / "mine.py"),
    )

    assert "PatchWarning: [MFQ102] MF_QWEN3_PATCH='on' is not one of" in session.banner
    assert "Traceback" not in session.banner
    assert session.say("answer") == "42"
    session.close()


@pytest.mark.parametrize(
    ("following", "said"), [(_STARTUP_FILE, False), ("/nowhere/pythonrc", True)], ids=["itself", "absent"]
)
def test_a_chained_file_that_is_the_same_or_absent(following: str, said: bool, tmp_path: Path) -> None:
    session = Session(
        sys.executable,
        cwd=tmp_path,
        prompt=">>> ",
        PYTHONSTARTUP=_STARTUP_FILE,
        MF_QWEN3_PATCH_STARTUP_NEXT=following,
    )

    assert ("MF_QWEN3_PATCH_STARTUP_NEXT cannot be read" in session.banner) == said
    assert session.say("import sys; 'mf_qwen3_patch' in sys.modules") == "True"
    session.close()


def test_python_reads_pythonstartup_for_no_script(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('mf_qwen3_patch' in sys.modules)"]
    environ = clean_environment(**_PYTHONPATH, PYTHONSTARTUP=_STARTUP_FILE)

    assert subprocess.check_output(command, env=environ, cwd=tmp_path, text=True) == "False\n"


def test_ipython(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
    prompt = r"In \[\d+\]: "
    started = Session(*command, cwd=tmp_path, prompt=prompt, IPYTHONDIR=str(tmp_path), PYTHONSTARTUP=_STARTUP_FILE)
    assert started.say("import sys; 'mf_qwen3_patch' in sys.modules").endswith("True")
    started.close()

    session = Session(*command, cwd=tmp_path, prompt=prompt, IPYTHONDIR=str(tmp_path))
    session.say(_LATE)
    assert session.say("%load_ext mf_qwen3_patch") == ""
    assert session.say(_LOADED).endswith("(True, True)")
    session.say("%unload_ext mf_qwen3_patch")
    assert session.say(_LOADED).endswith("(False, True)")
    session.say("%load_ext mf_qwen3_patch")
    session.say("%reload_ext mf_qwen3_patch")
    assert session.say(_LOADED).endswith("(True, True)")
    session.close()


def test_jupyter(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    from jupyter_client.manager import start_new_kernel

    environ = clean_environment(**_PYTHONPATH, IPYTHONDIR=str(tmp_path))
    manager, client = start_new_kernel(cwd=str(tmp_path), env=environ, startup_timeout=60)
    try:
        answers: list[str] = []

        def output(message: dict[str, Any]) -> None:
            content = message["content"]
            answers.append(content.get("text") or content.get("data", {}).get("text/plain") or str(content))

        for cell in (_LATE, "%load_ext mf_qwen3_patch", _LOADED, "%unload_ext mf_qwen3_patch", _LOADED):
            reply = client.execute_interactive(cell, timeout=100, output_hook=output)
            assert reply["content"]["status"] == "ok", answers
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert [answer for answer in answers if answer.startswith("(")] == ["(True, True)", "(False, True)"]
