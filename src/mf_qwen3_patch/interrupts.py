"""Ctrl-C is KeyboardInterrupt while this package works, whoever has taken the signal meanwhile.

Once its runtime is up, MindSpore handles SIGINT itself, below Python: it ends the process, so that no ``finally`` runs
and nothing is said. Python believes that its own handler is still there.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_BYTES = 512  # more than a ``struct sigaction`` has anywhere


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Let Ctrl-C reach the handler that Python has for it, by default KeyboardInterrupt; then whoever had it before.

    Only the main thread can do that; in others, and where Python ignores the signal, nothing changes.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    # Python can't say what the system's handler is, and could not put it back.
    sigaction = ctypes.CDLL(None).sigaction
    before = ctypes.create_string_buffer(_BYTES)
    sigaction(int(signal.SIGINT), None, before)
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        sigaction(int(signal.SIGINT), before, None)
