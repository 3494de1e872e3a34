"""Reading stretches of safetensors files into memory that is there already, without mmap.

Faulting a mapped file in page by page is slow on network disks, and an I/O error there kills the
process; ``preadv`` reads as much as it is asked for and returns what went wrong.
"""

from __future__ import annotations

import os

import numpy as np

from mf_qwen3_patch.checkpoint.files.read_file import CheckpointFile
from mf_qwen3_patch.loading.transfer.cast import Bits
from mf_qwen3_patch.loading.transfer.read_requests import Stretch

# Runs of less than this, close to each other, are read together with what is between them.
_SHORT_RUN_BYTES = 16 << 10
_WIDEST_GAP = 4  # in runs


def advise_sequential(file: CheckpointFile) -> None:
    """Have the system read ahead in a file that is read from front to back."""
    os.posix_fadvise(file.descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def prefetch(file: CheckpointFile, stretch: Stretch) -> None:
    """Have the system read a cut stretch as one: small reads with gaps would defeat its read-ahead."""
    if stretch.runs > 1:
        os.posix_fadvise(file.descriptor, stretch.offset, stretch.stride * stretch.runs, os.POSIX_FADV_WILLNEED)


def read_stretch(file: CheckpointFile, stretch: Stretch, out: Bits, tensor: str) -> int:
    """Read a stretch of a tensor, and return the bytes that were read into ``out``.

    ``out`` has one axis, is contiguous, ``stretch.elements`` long, and of the item size of the tensor's dtype.

    Raises:
        CorruptCheckpoint: The file ends too early, or the system can't read it.
    """
    memory = out.data.cast("B")
    length = stretch.run * out.itemsize
    if stretch.runs > 1 and length < _SHORT_RUN_BYTES and stretch.stride <= _WIDEST_GAP * length:
        span = np.empty((stretch.runs - 1) * stretch.stride + length, np.uint8)
        file.read_at(stretch.offset, span.data, tensor)
        rows = np.lib.stride_tricks.as_strided(span, (stretch.runs, length), (stretch.stride, 1))
        np.frombuffer(memory, np.uint8).reshape(stretch.runs, length)[...] = rows
        return memory.nbytes
    for number in range(stretch.runs):
        run = memory[number * length : (number + 1) * length]
        file.read_at(stretch.offset + number * stretch.stride, run, tensor)
    return memory.nbytes
