"""The ranks of a job do a step each, and go on together or fail together.

After every step all tell each other what went wrong, if anything, in a collective call that each of them reaches, so
that nobody waits for one that has given up, and nobody goes on without it. A process alone calls nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from mindformers.parallel_core.inference.parallel_state import (
    get_tensor_model_parallel_group,
    get_world_group,
)
from mindspore import Tensor, ops

from mf_qwen3_patch import errors
from mf_qwen3_patch.errors import CheckpointError, Problem, Qwen3PatchError, error_for
from mf_qwen3_patch.interrupts import keyboard_interrupts
from mf_qwen3_patch.loading.runtime.parallel import can_communicate, grouped_ranks
from mf_qwen3_patch.settings import wait_limit

_LONGEST_NOTE = 1 << 16  # bytes
_POLL_SECONDS = 0.1

_Array: TypeAlias = npt.NDArray[Any]


class Ranks:
    """The ranks of a group, by default of MindSpore's world group; this one is ``rank`` of ``count``.

    None waits longer than ``limit`` seconds for the others, if it is given.
    """

    def __init__(self, rank: int, count: int, *, group: str | None = None, limit: float | None = None) -> None:
        self._rank, self._count = rank, count
        self._group, self._limit = group, limit

    @classmethod
    def of_model(cls) -> Ranks:
        """Return the ranks that share a model, as the inference context has them; without one, this process alone.

        Replicas of the model are not among them: each is loaded on its own.
        """
        shared = grouped_ranks()
        if shared.tensor == shared.pipeline == shared.expert == 1 or not can_communicate():
            return cls(0, 1)
        all_share = shared.data == 1 or shared.expert > 1
        group = get_world_group() if all_share else get_tensor_model_parallel_group()
        return cls(group.rank, group.size, group=group.group, limit=wait_limit())

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do a step; afterwards every rank raises an error if any of them has: its own, or that of the first one."""
        try:
            yield
        except Exception as error:
            self._report_failure(error)
            raise
        if failed := self._exchange(b""):
            raise _error_of(*failed)

    def _report_failure(self, error: Exception) -> None:
        """Tell the others; what keeps them from hearing it must not hide the error."""
        try:
            self._exchange(_note_of(error))
        except TimeoutError as unheard:
            error.__context__ = unheard

    def _exchange(self, note: bytes) -> tuple[int, bytes] | None:
        """Return the first rank that has failed, with its note; None if all are well. ``note`` is empty if this is."""
        if self._count == 1:
            return (self._rank, note) if note else None
        lengths = np.zeros(self._count, np.float32)
        lengths[self._rank] = len(note)
        lengths = self._sum(lengths)
        failed = np.flatnonzero(lengths)
        if not len(failed):
            return None
        first = int(failed[0])
        # float32, which every backend adds, holds such numbers exactly.
        text = np.zeros(int(lengths[first]), np.float32)
        if first == self._rank:
            text[:] = np.frombuffer(note, np.uint8)
        return first, self._sum(text).astype(np.uint8).tobytes()

    def _sum(self, values: _Array) -> _Array:
        """Add up an array over all ranks."""
        reduce = ops.AllReduce() if self._group is None else ops.AllReduce(group=self._group)
        return _within(self._limit, lambda: reduce(Tensor(values)).asnumpy(), self._rank)


def _within(limit: float | None, collective: Callable[[], _Array], rank: int) -> _Array:
    """Return what ``collective`` does, which can't be stopped: another thread waits in it, and this one for that.

    So Ctrl-C and the limit are heeded meanwhile.
    """
    outcome: list[_Array | Exception] = []

    def call() -> None:
        try:
            outcome.append(collective())
        except Exception as error:  # noqa: BLE001 - raised where it was called
            outcome.append(error)

    thread = threading.Thread(target=call, name="mf_qwen3_patch-ranks", daemon=True)
    started = time.monotonic()
    thread.start()
    with keyboard_interrupts():
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            if limit is not None and time.monotonic() - started > limit:
                raise TimeoutError(
                    f"rank {rank} has waited {limit:.0f} s for the other ranks to load their parts of the checkpoint: "
                    "their logs say what they do; MF_QWEN3_PATCH_WAIT sets the seconds"
                )
    (result,) = outcome
    if isinstance(result, Exception):
        raise result
    return result


def _note_of(error: Exception) -> bytes:
    # The text of one of ours without its code, which it gets again.
    text = error.args[0] if isinstance(error, Qwen3PatchError) and error.args else error
    note: dict[str, Any] = {"error": type(error).__name__, "text": str(text)}
    if isinstance(error, CheckpointError):
        complete = note | {"subject": error.subject, "problems": [problem.as_dict() for problem in error.problems]}
        if len(encoded := json.dumps(complete).encode()) <= _LONGEST_NOTE:
            return encoded
    # A character takes six bytes at most.
    return json.dumps(note | {"text": note["text"][: _LONGEST_NOTE // 8]}).encode()


def _error_of(rank: int, note: bytes) -> Exception:
    """Return the error of another rank, of the same class if it is one of ours."""
    said = json.loads(note)
    if "problems" in said:
        problems = [Problem(**fields, kind=getattr(errors, kind)) for kind, fields in map(_fields, said["problems"])]
        return error_for(problems, f"{said['subject']}, as rank {rank} says")
    kind = getattr(errors, said["error"], None)
    if isinstance(kind, type) and issubclass(kind, Qwen3PatchError) and not issubclass(kind, CheckpointError):
        return kind(f"{said['text']} (as rank {rank} says)")
    return RuntimeError(f"rank {rank} has failed, and with it all: {said['error']}: {said['text']}")


def _fields(problem: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    fields = {name: value for name, value in problem.items() if name != "code"}
    return fields.pop("kind"), fields
