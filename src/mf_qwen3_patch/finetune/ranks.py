"""The ranks of a fine-tuning job, of which one converts a directory that all share."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from mindformers.tools.utils import get_real_group_size, get_real_rank, is_main_rank

from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import NewDirectory, write_small
from mf_qwen3_patch.loading.runtime import ranks
from mf_qwen3_patch.settings import wait_limit

_POLL_SECONDS = 0.2


class Ranks(ranks.Ranks):
    """All ranks of the job, which share the directory that ``place`` is in.

    A step has no limit, but ``wait_for`` has: a conversion takes as long as it takes, if something happens.
    """

    def __init__(self, place: Path) -> None:
        super().__init__(get_real_rank(), get_real_group_size())
        self._given_up = place.with_name(f"{place.name}.failed")
        if self.is_main:
            # Of an earlier job; before the first exchange, so that one that is seen after it is of this job.
            self._given_up.unlink(missing_ok=True)

    @property
    def is_main(self) -> bool:
        """Whether this one does the work for all."""
        return bool(is_main_rank())

    def wait_for(self, directory: NewDirectory) -> None:
        """Wait until the main rank has made the directory, or given up.

        Raises TimeoutError if nothing happens there for as long as ``MF_QWEN3_PATCH_WAIT`` says.
        """
        limit, last, seen = wait_limit(), time.monotonic(), -1
        while not directory.is_finished():
            if self._given_up.exists():
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

    def _report_failure(self, error: Exception) -> None:
        """End the wait of the others, too."""
        if self.is_main and self._count > 1:
            with suppress(OSError):  # on a full disk they wait until nothing has happened for long
                self._given_up.parent.mkdir(parents=True, exist_ok=True)
                write_small(self._given_up, b"")
        super()._report_failure(error)


def _size_of(directory: Path) -> int:
    """Return the bytes of all files below, 0 if there are none; they may come and go meanwhile."""
    size = 0
    for path in directory.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size
    return size
