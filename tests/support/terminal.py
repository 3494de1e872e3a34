"""Runs a program on a terminal of its own, and presses Ctrl-C there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Terminal:
    """A program on a pseudo-terminal, in whose session Ctrl-C is a key: the terminal's driver makes the signal."""

    def __init__(self, command: Sequence[object], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.output = b""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # or progress bars have no room
            os.chdir(cwd)
            os.execve(str(command[0]), [str(word) for word in command], dict(env))

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Read until the program has written ``text``; an AssertionError with all that it wrote if it does not."""
        end = time.monotonic() + seconds
        while text.encode() not in self.output:
            assert time.monotonic() < end, self.output.decode(errors="replace")
            assert self._read(), self.output.decode(errors="replace")

    def press_control_c(self) -> None:
        os.write(self._terminal, b"\x03")

    def exit_code(self, seconds: float = 60) -> int:
        """Read until the program has ended; return its exit code, negative for the signal that ended it."""
        end = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < end, self.output.decode(errors="replace")
        os.close(self._terminal)
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        """Take what has been written; return False once nobody can write any more."""
        ready, _, _ = select.select([self._terminal], [], [], 0.2)
        if not ready:
            return True
        try:
            data = os.read(self._terminal, 1 << 16)
        except OSError:  # EIO: the last program has closed the terminal
            return False
        self.output += data
        return bool(data)
