"""Ctrl-C reaches Python within our work, although somebody below Python has taken the signal, and then that one again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from tests.support.processes import ROOT

from mf_qwen3_patch.interrupts import keyboard_interrupts

# As MindSpore does: a handler below Python, which ends the process.
_TAKEN = """
    import ctypes, os, signal, sys
    from mf_qwen3_patch.interrupts import keyboard_interrupts

    libc = ctypes.CDLL(None)
    ended = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: os._exit(77))
    libc.signal(signal.SIGINT, ended)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def press():
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(10**5))  # Python's handler runs between two of its instructions
"""


def _run(*lines: str) -> int:
    script = textwrap.dedent(_TAKEN) + "\n" + "\n".join(lines)
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, "-c", script], env=environ, check=False).returncode


def test_within_the_block_it_is_keyboard_interrupt() -> None:
    lines = [
        "try:",
        "    with keyboard_interrupts():",
        "        press()",
        "except KeyboardInterrupt:",
        "    sys.exit(3)",
    ]
    assert _run(*lines) == 3


@pytest.mark.parametrize("raised", [False, True])
def test_after_the_block_the_other_has_it_again(raised: bool) -> None:
    inside = "        press()" if raised else "        pass"
    lines = ["try:", "    with keyboard_interrupts():", inside, "except KeyboardInterrupt:", "    pass", "press()"]
    assert _run(*lines) == 77


def test_a_handler_of_the_program_is_kept() -> None:
    lines = ["signal.signal(signal.SIGINT, lambda *_: sys.exit(5))", "libc.signal(signal.SIGINT, ended)"]
    assert _run(*lines, "with keyboard_interrupts():", "    press()") == 5


def test_in_another_thread_nothing_changes() -> None:
    work = ["import threading", "def work():", "    with keyboard_interrupts():", "        press()"]
    assert _run(*work, "thread = threading.Thread(target=work)", "thread.start()", "thread.join()") == 77


def test_where_the_signal_is_ignored_it_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with keyboard_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
