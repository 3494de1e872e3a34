"""``python -m mf_qwen3_patch run program.py``: as if the program had been started directly, with the shim in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support.installed import clean_environment, start
from tests.support.processes import ROOT

from mf_qwen3_patch.activation import startup
from mf_qwen3_patch.cli.run import _interpreter_options

_REPORT = """
import json, os, sys
names = ("MF_QWEN3_PATCH", "MF_QWEN3_PATCH_CPU", "ENFORCE_EAGER")
print(json.dumps({
    "argv": sys.argv, "path": sys.path[0], "name": __name__, "dev": sys.flags.dev_mode,
    "main": sys.modules["__main__"].__dict__ is globals(), "shim": "mf_qwen3_patch" in sys.modules,
    "environ": {n: os.environ[n] for n in names if n in os.environ}, "own": sys.modules.get("own_sitecustomize") is not None,
    "injection": [entry for entry in sys.path if entry.endswith("injection")],
}), flush=True)
"""


def launch(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return start(*command, cwd=cwd, timeout=60, **variables)


@pytest.fixture(params=["installed", "on PYTHONPATH"])
def runner(
    request: pytest.FixtureRequest, installed_python: Path, bare_python: Path
) -> tuple[list[str], dict[str, str]]:
    """The command and the environment, with the ``.pth`` installed and without it."""
    arguments = ["-X", "dev", "-m", "mf_qwen3_patch", "run"]
    if request.param == "installed":
        return [str(installed_python), *arguments], {}
    return [str(bare_python), *arguments], {"PYTHONPATH": str(ROOT / "src")}


def test_the_program_sees_its_own_arguments_and_environment(
    runner: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    command, environ = runner
    (tmp_path / "program.py").write_text(_REPORT + "sys.exit(7)\n")
    arguments = ["--config", "a.yaml", "-m", "--cpu", "--", "x=y"]
    finished = launch(*command, "program.py", *arguments, cwd=tmp_path, **environ)

    assert finished.returncode == 7, finished.stderr
    seen = json.loads(finished.stdout)
    assert seen["argv"] == ["program.py", *arguments]
    assert (seen["path"], seen["name"], seen["main"]) == (str(tmp_path), "__main__", True)
    assert (seen["dev"], seen["shim"], seen["injection"]) == (True, True, [])
    assert seen["environ"] == {"MF_QWEN3_PATCH": "1"}


def test_cpu_and_module(runner: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    command, environ = runner
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "program.py").write_text(_REPORT)
    finished = launch(*command, "--cpu", "-m", "package.program", "--config", "a.yaml", cwd=tmp_path, **environ)

    seen = json.loads(finished.stdout)
    assert seen["argv"] == [str(tmp_path / "package" / "program.py"), "--config", "a.yaml"]
    assert seen["environ"] == {"MF_QWEN3_PATCH": "1", "MF_QWEN3_PATCH_CPU": "1", "ENFORCE_EAGER": "true"}


def test_what_is_set_already_is_kept(runner: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    command, environ = runner
    (tmp_path / "program.py").write_text(_REPORT)
    off = launch(*command, "program.py", cwd=tmp_path, **environ, MF_QWEN3_PATCH="0")
    strict = launch(*command, "program.py", cwd=tmp_path, **environ, MF_QWEN3_PATCH="strict")

    assert json.loads(off.stdout)["environ"] == {"MF_QWEN3_PATCH": "0"}
    assert json.loads(strict.stdout)["environ"] == {"MF_QWEN3_PATCH": "strict"}


def test_the_users_own_sitecustomize_runs(runner: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    command, environ = runner
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sitecustomize.py").write_text("import sys; sys.modules['own_sitecustomize'] = sys\n")
    (tmp_path / "program.py").write_text(_REPORT)
    path = os.pathsep.join([str(tmp_path / "mine"), *environ.values()])
    seen = json.loads(launch(*command, "program.py", cwd=tmp_path, PYTHONPATH=path).stdout)

    assert (seen["own"], seen["shim"]) == (True, True)


@pytest.mark.parametrize(("sent", "handled"), [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGTERM, False)])
def test_signals_are_the_programs_own(
    sent: signal.Signals, handled: bool, runner: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    command, environ = runner
    handler = f"signal.signal({int(sent)}, lambda *_: sys.exit(42))" if handled else ""
    (tmp_path / "program.py").write_text(
        f"import os, signal, sys, time\n{handler}\nprint(os.getpid(), flush=True)\ntime.sleep(50)\n"
    )
    with subprocess.Popen(
        [*command, "program.py"], cwd=tmp_path, env=clean_environment(**environ), text=True, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(sent)
        assert process.wait(20) == (42 if handled else -sent)


def test_the_console_command_is_the_same(installed_python: Path, tmp_path: Path) -> None:
    command = installed_python.with_name("mf-qwen3-run")
    (tmp_path / "program.py").write_text(_REPORT)

    assert json.loads(launch(command, "program.py", "a", cwd=tmp_path).stdout)["shim"] is True
    nothing = launch(command, cwd=tmp_path)
    assert (nothing.returncode, nothing.stderr) == (
        2,
        "error: which program shall run? Give a file, or -m and a module\n",
    )
    assert launch(command, "absent.py", cwd=tmp_path).returncode == 2
    misspelt = launch(command, "program.py", cwd=tmp_path, MF_QWEN3_PATCH="on")
    assert misspelt.returncode == 0
    assert json.loads(misspelt.stdout)["shim"] is True
    assert "MF_QWEN3_PATCH='on' is not one of '1', '0', 'strict'" in misspelt.stderr


def test_options_that_keep_the_shim_out_are_an_error_not_a_silent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Flags:
        no_site = 0
        ignore_environment = 1

    monkeypatch.setattr(startup, "installed_pth", lambda: None)
    monkeypatch.setattr(startup.sys, "flags", Flags)
    with pytest.raises(ValueError, match="-S, -E or -I"):
        startup.with_injection({})


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("python -m mf_qwen3_patch run x.py", []),
        ("python -um mf_qwen3_patch run x.py", ["-u"]),
        ("python -X dev -W error -m mf_qwen3_patch run x.py -m y", ["-X", "dev", "-W", "error"]),
        ("python -X dev bin/mf-qwen3-run run x.py", ["-X", "dev"]),
        ("python bin/mf-qwen3-run run x.py", []),
    ],
)
def test_pythons_own_options_are_passed_on(command: str, options: list[str]) -> None:
    words = command.split()
    assert _interpreter_options(words, words[words.index("run") - 1 :]) == options


def _script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return f"./{path.name}"


def test_whatever_a_user_types_runs(runner: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    """Words before the program, a command, a shell script, a piece of code: the shim is in Python, wherever it starts."""
    command, environ = runner
    (tmp_path / "program.py").write_text(_REPORT)
    (tmp_path / "python").mkdir()  # a directory of that name is not meant
    script = _script(tmp_path / "a.sh", f'#!/bin/sh\nexec {command[0]} "$@"\n')
    plain = _script(tmp_path / "b.sh", f'{command[0]} "$@"\n', 0o644)
    for words in (
        ["python", "program.py", "a"],
        ["python3", "-u", "program.py", "a"],
        ["env", command[0], "program.py", "a"],
        [script, "program.py", "a"],
        ["bash", plain, "program.py", "a"],
    ):
        finished = launch(*command, *words, cwd=tmp_path, **environ)
        assert finished.returncode == 0, (words, finished.stderr)
        seen = json.loads(finished.stdout)
        assert (seen["argv"], seen["shim"]) == (["program.py", "a"], True), words
    code = launch(*command, "-c", _REPORT, "a", cwd=tmp_path, **environ)
    assert json.loads(code.stdout)["argv"] == ["-c", "a"]
    assert json.loads(code.stdout)["shim"] is True


def test_what_cannot_run_says_what_to_type(installed_python: Path, tmp_path: Path) -> None:
    _script(tmp_path / "a.sh", "echo x\n", 0o644)
    for words, answer in (
        (["absent.py"], "absent.py is no file here, and no command: check the path, or type -m before a module"),
        (["python"], "Leave `python` out, and give a file, or -m and a module"),
        (["./a.sh"], "./a.sh is a shell script, and not executable: chmod +x it, or type `run bash ./a.sh`"),
        (["-m", "-c", "x"], "not allowed with argument -m"),
    ):
        finished = launch(installed_python, "-m", "mf_qwen3_patch", "run", *words, cwd=tmp_path)
        assert finished.returncode == 2, words
        assert answer in finished.stderr, finished.stderr
