"""The ranks of a job do a step each, and go on together or fail together.

After every step all exchange whether they failed, in one collective call that each of them reaches, so that nobody
waits for one that has given up. What went wrong is in a note beside the directory that they share.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from mindformers.tools.utils import get_real_group_size, get_real_rank, is_main_rank
from mindspore import Tensor, ops

from mf_qwen3_patch import errors
from mf_qwen3_patch.checkpoint.files.strict_json import json_bytes
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import NewDirectory, write_small
from mf_qwen3_patch.errors import CheckpointError, Problem, error_for
from mf_qwen3_patch.settings import wait_limit

_POLL_SECONDS = 0.2


class Ranks:
    """All ranks of the job, which share the directory that ``place`` is in."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._rank, self._count = get_real_rank(), get_real_group_size()
        # Of an earlier job; before the first exchange, so that a note that is read after it is of this one.
        self._note(self._rank).unlink(missing_ok=True)

    @property
    def is_main(self) -> bool:
        """Whether this one does the work for all."""
        return bool(is_main_rank())

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do a step; afterwards every rank raises an error if any of them has: its own, or that of the first one."""
        own: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, when all ranks know
            own = error
            self._write_note(error)
        failed = self._exchange(own is not None)
        if own is not None:
            raise own
        if failed:
            raise self._error_of(failed[0])

    def wait_for(self, directory: NewDirectory) -> None:
        """Wait until the main rank has made the directory, or given up.

        Raises TimeoutError if nothing happens there for as long as ``MF_QWEN3_PATCH_WAIT`` says.
        """
        limit, last, seen = wait_limit(), time.monotonic(), -1
        while not directory.is_finished():
            if self._note(0).exists():
                return  # the exchange that follows says it to all
            now, size = time.monotonic(), _size_of(directory.partial)
            if size != seen:
                seen, last = size, now
            if now - last > limit:
                raise TimeoutError(
                    f"rank {self._rank} has waited {limit:.0f} s for rank 0 to convert the checkpoint into "
                    f"{directory.path.absolute()}, and nothing has happened there: output_dir must be a directory that "
                    "all ranks share; MF_QWEN3_PATCH_WAIT sets the seconds"
                )
            time.sleep(_POLL_SECONDS)

    def _note(self, rank: int) -> Path:
        return self._place.with_name(f"{self._place.name}.rank_{rank}.failed")

    def _write_note(self, error: Exception) -> None:
        if self._count == 1:
            return
        note: dict[str, Any] = {"error": f"{type(error).__name__}: {error}"}
        if isinstance(error, CheckpointError):
            note |= {"subject": error.subject, "problems": [problem.as_dict() for problem in error.problems]}
        with suppress(OSError):  # on a full disk the others learn only that there was an error
            self._place.parent.mkdir(parents=True, exist_ok=True)
            write_small(self._note(self._rank), json_bytes(note))

    def _exchange(self, failed: bool) -> list[int]:
        """Return the ranks that have failed."""
        flags = np.zeros(self._count, np.float32)
        flags[self._rank % self._count] = failed
        if self._count > 1:
            flags = ops.AllReduce()(Tensor(flags)).asnumpy()
        return [int(rank) for rank in np.flatnonzero(flags)]

    def _error_of(self, rank: int) -> Exception:
        try:
            note = json.loads(self._note(rank).read_bytes())
        except (OSError, ValueError):
            return RuntimeError(f"rank {rank} could not prepare the checkpoint: its log says why")
        if "problems" not in note:
            return RuntimeError(f"rank {rank} could not prepare the checkpoint: {note['error']}")
        problems = [Problem(**fields, kind=getattr(errors, kind)) for kind, fields in map(_fields, note["problems"])]
        return error_for(problems, f"{note['subject']}, as rank {rank} says")


def _fields(problem: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    fields = {name: value for name, value in problem.items() if name != "code"}
    return fields.pop("kind"), fields


def _size_of(directory: Path) -> int:
    """Return the bytes of all files below, 0 if there are none; they may come and go meanwhile."""
    size = 0
    for path in directory.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size
    return size
