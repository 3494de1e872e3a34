"""Reading rows that have gaps between them, without mmap.

Faulting a mapped file in page by page is slow on network disks, and an I/O error there kills the
process; ``preadv`` reads as much as it is asked for and returns what went wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mf_qwen3_patch.checkpoint.reading.read_file import ReadableFile

# Rows of less than this, close to each other, are read together with what is between them.
_SHORT_ROW_BYTES = 16 << 10
_WIDEST_GAP = 4  # in rows


def announce_rows(file: ReadableFile, offset: int, stride: int, length: int, rows: int) -> None:
    """Say that ``rows`` of ``length`` bytes will be read, ``stride`` bytes from one to the next."""
    if rows == 1 or stride == length:
        file.expect(offset, rows * length)
    else:
        file.prefetch(offset, stride * (rows - 1) + length)


def read_rows(file: ReadableFile, offset: int, stride: int, memory: memoryview, rows: int, tensor: str) -> int:
    """Read ``rows`` of equal length, ``stride`` bytes from one to the next, into ``memory``; return the bytes read.

    ``memory`` is contiguous and one-dimensional, of bytes. A file that ends too early or that the system can't read is
    a ``CorruptCheckpoint``.
    """
    length = memory.nbytes // rows
    if rows > 1 and stride == length:
        rows, length = 1, memory.nbytes
    if rows > 1 and length < _SHORT_ROW_BYTES and stride <= _WIDEST_GAP * length:
        span = np.empty((rows - 1) * stride + length, np.uint8)
        file.read_at(offset, span.data, tensor)
        np.frombuffer(memory, np.uint8).reshape(rows, length)[...] = as_strided(span, (rows, length), (stride, 1))
        return memory.nbytes
    for number in range(rows):
        file.read_at(offset + number * stride, memory[number * length : (number + 1) * length], tensor)
    return memory.nbytes
