"""Reading past the page cache: whole blocks, into memory that is aligned as they are."""

from __future__ import annotations

import mmap
import os
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile

BLOCK = mmap.PAGESIZE
"""What offsets, lengths and addresses must be multiples of; no device or file system is known to want more."""


def aligned_memory(nbytes: int) -> npt.NDArray[np.uint8]:
    """Return fresh memory whose address is a multiple of ``BLOCK``."""
    memory = np.empty(nbytes + BLOCK, np.uint8)
    start = -memory.ctypes.data % BLOCK
    return memory[start : start + nbytes]


class DirectFile:
    """A checkpoint's file opened a second time, with O_DIRECT, as long as its file system allows that."""

    def __init__(self, file: CheckpointFile) -> None:
        self._descriptor: int | None = None
        try:
            # By the descriptor, not by the name, which may lead to another file by now.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT
            self._descriptor = os.open(f"/proc/self/fd/{file.descriptor}", flags)
        except OSError:
            return
        weakref.finalize(self, os.close, self._descriptor)

    @property
    def usable(self) -> bool:
        """Whether the file system has not refused yet."""
        return self._descriptor is not None

    def read(self, offset: int, memory: npt.NDArray[Any]) -> int:
        """Fill aligned ``memory`` from ``offset`` on, both in whole blocks; return how many bytes were read.

        They are fewer at the end of the file, and where a read is refused or fails, which is not tried again: who reads
        the rest through the page cache learns the reason, if there is one.
        """
        done = 0
        while done < memory.nbytes and self._descriptor is not None:
            try:
                count = os.preadv(self._descriptor, [memory[done:].data], offset + done)
            except OSError:
                self._descriptor = None
                break
            done += count
            if count == 0 or count % BLOCK:
                break
        return done
