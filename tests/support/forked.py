"""A function in a process of its own, with a time limit, by a fork of one that has imported MindFormers already."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.checkpoints import read_json


def run_forked(name: str, function: Callable[[], Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """Call ``function`` in a fork, and return what it returns, as JSON has it.

    An exception becomes ``error`` and ``message``; after ``seconds`` it is ended, with all that it has started, and
    ``hangs``. Its output is ``log``; files are made in the working directory, by the ``name``.
    """
    result = Path(re.sub(r"\W+", "_", name) + ".outcome.json").absolute()
    log = result.with_suffix(".log")
    child = os.fork()
    if child == 0:
        os.setsid()
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        try:
            outcome = function()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the outcome
            outcome = {"error": type(error).__name__, "message": str(error)}
        result.write_text(json.dumps(outcome))
        os._exit(0)
    end = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"hangs": True, "log": log.read_text(errors="replace")[-4000:]}
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what stock leaves behind
    return dict(read_json(result), log=log.read_text(errors="replace")[-4000:])
