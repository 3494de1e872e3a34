"""Loads attacked directories under Python's audit hook, and says what came of it.

A process of its own does it, by ``python -m tests.support.audited``, since a hook stays for ever and what hangs must be
killed: ``run_attacks`` starts it, and starts another one where it was killed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.attacks import ATTACKS, TRACE, prepare
from tests.support.processes import ROOT

LIMIT_SECONDS = 10.0

RIGHT, REFUSED, SILENT, FOREIGN, HANGING = "right", "refused", "silent", "foreign", "hanging"
STOCK = "stock's"
"""The directory does not say that it is a Qwen3 model: the shim left it to MindFormers, which refused it."""

SOUND = (RIGHT, REFUSED, STOCK)

FILES_ONLY = ("check", "check --config")
NAIVE = "naive"  # an entry that does what is forbidden
ENTRIES = (
    *FILES_ONLY,
    *("convert", "export", "from_pretrained", "load_weights", "AutoConfig", "AutoTokenizer"),
)


@dataclass(frozen=True)
class Outcome:
    """What an entry made of an attack; ``forbidden`` is what it did that it may not."""

    attack: int
    entry: str
    verdict: str
    detail: str = ""
    forbidden: tuple[str, ...] = ()


def run_attacks(
    good: Path,
    place: Path,
    entries: Sequence[str] = ENTRIES,
    attacks: Sequence[int] = range(len(ATTACKS)),
    *,
    limit: float = LIMIT_SECONDS,
) -> list[Outcome]:
    """Try attacks, by default all, on a good directory at every one of the entries; what takes longer hangs."""
    cases = [(number, entry) for entry in entries for number in attacks]
    outcomes: list[Outcome] = []
    while len(outcomes) < len(cases):
        outcomes += _run(good, place, cases[len(outcomes) :], limit)
    return outcomes


def _run(good: Path, place: Path, cases: Sequence[tuple[int, str]], limit: float) -> list[Outcome]:
    """Start a process for the cases; end it with the first one that hangs or ends it."""
    outcomes: list[Outcome] = []
    home = place / "home"
    home.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MF_QWEN3_PATCH", "HF_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "HOME": str(home), "GLOG_v": "3"}
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "tests.support.audited", str(writing), str(good), str(place), json.dumps(cases)]
    log = (place / "log").open("ab")
    with (
        log,
        subprocess.Popen(
            command, cwd=home, env=environment, pass_fds=[writing], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        ) as worker,
        os.fdopen(reading, "rb", buffering=0) as stream,
    ):
        os.close(writing)
        begun, waiting = False, b""
        while len(outcomes) < len(cases):
            # Before the first case lies the import of MindFormers.
            ready, _, _ = select.select([stream], [], [], limit if begun else 120)
            data = stream.read(1 << 16) if ready else b""
            if not data:
                verdict = FOREIGN if ready else HANGING
                outcomes.append(Outcome(*cases[len(outcomes)], verdict, "the process ended" if ready else "killed"))
                break
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                begun = True
                if line != b"begin":
                    found = json.loads(line)
                    outcomes.append(Outcome(**{**found, "forbidden": tuple(found["forbidden"])}))
        worker.kill()
    return outcomes


class _Hook:
    """Notes what is forbidden, while it is ``on``."""

    _WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    _CHANGING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
    _STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn")
    _CONNECTING = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")

    def __init__(self) -> None:
        self.on = False
        self.found: list[str] = []
        self.directory = self.target = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & self._WRITING
            if writes and isinstance(path, (str, bytes, os.PathLike)):
                self._written(event, path)
        elif event == "exec":
            if os.fspath(arguments[0].co_filename).startswith((self.directory, "<template>")):
                self.found.append(f"exec {arguments[0].co_filename}")
        elif event in self._CHANGING:
            for path in arguments[:2]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    self._written(event, path)
        elif event in self._STARTING or event == "pickle.find_class":
            self.found.append(f"{event} {arguments!r:.200}")
        elif event in self._CONNECTING:
            self.found.append(f"{event} {arguments!r:.200}")
            raise ConnectionRefusedError("no connections here")
        elif event == "ctypes.dlopen" and str(arguments[0]).startswith(self.directory):
            self.found.append(f"{event} {arguments!r:.200}")

    def _written(self, event: str, path: str | bytes | os.PathLike[str]) -> None:
        absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - a link is not followed to be removed
        # MindFormers logs into ./output, wherever a program runs.
        if absolute != os.devnull and not absolute.startswith((self.target, f"{self.directory}/output")):
            self.found.append(f"{event} {absolute}")


def _work(stream: io.TextIOBase, good: Path, place: Path, cases: Iterable[tuple[int, str]]) -> None:
    hook = _Hook()
    sys.addaudithook(hook)
    doors: dict[str, Callable[[Path, Path], bool]] = {}
    converted = place / "converted"
    for number, entry in cases:
        if entry not in doors:
            from tests.support import attacked_entries

            doors[entry] = attacked_entries.entry(entry, good, converted)
        room = place / "room"
        shutil.rmtree(room, ignore_errors=True)
        directory = prepare(converted if entry == "export" else good, room, ATTACKS[number])
        hook.directory, hook.target, hook.found = str(directory), str(room / "target"), []
        os.chdir(directory)
        stream.write("begin\n")
        stream.flush()
        verdict, detail = RIGHT, ""
        hook.on = True
        try:
            if not doors[entry](directory, room / "target"):
                verdict = SILENT
        except BaseException as error:  # noqa: BLE001 - it is what is looked for
            verdict, detail = _judge(error), traceback.format_exc()[-1500:]
        finally:
            hook.on = False
            os.chdir(place)
        forbidden = tuple(hook.found)
        if (room / TRACE).exists():
            forbidden += (f"code was run: {(room / TRACE).read_text()}",)
        forbidden += tuple(
            f"imported {name}"
            for name, module in list(sys.modules.items())
            if str(getattr(module, "__file__", "")).startswith(str(directory))
        )
        stream.write(json.dumps(asdict(Outcome(number, entry, verdict, detail, forbidden))) + "\n")
        stream.flush()


def _judge(error: BaseException) -> str:
    from mf_qwen3_patch.errors import Qwen3PatchError

    if isinstance(error, Qwen3PatchError):
        return REFUSED
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    ours = any("mf_qwen3_patch/loading/" in file or "mf_qwen3_patch/cli/" in file for file in files)
    theirs = files and "/mindformers/" in files[-1]
    return STOCK if theirs and not ours and isinstance(error, Exception) else FOREIGN


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError), os.fdopen(int(sys.argv[1]), "w") as own:
        _work(own, Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
    os._exit(0)  # MindSpore's runtime has threads that outlive the interpreter
