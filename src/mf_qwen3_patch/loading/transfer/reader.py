"""Reading stretches of safetensors files into memory that is there already, without mmap.

Faulting a mapped file in page by page is slow on network disks, and an I/O error there kills the
process; ``preadv`` reads as much as it is asked for and returns what went wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import CorruptCheckpoint, Problem
from mf_qwen3_patch.loading.transfer.cast import Array
from mf_qwen3_patch.loading.transfer.read_requests import Stretch


class Files:
    """The weight files, open for reading by several threads.

    Args:
        paths: Which files.

    Raises:
        CorruptCheckpoint: On entering: one can't be opened.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = sorted(set(paths))
        self._descriptors: dict[Path, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Files:
        with ExitStack() as opened:
            for path in self._paths:
                try:
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except OSError as error:
                    raise _unreadable(path, None, error) from error
                opened.callback(os.close, descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
                self._descriptors[path] = descriptor
            self._stack = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._descriptors.clear()
        self._stack.close()

    def prefetch(self, tensor: TensorInfo, stretch: Stretch) -> None:
        """Have the system read a cut stretch as one: small reads with gaps would defeat its read-ahead."""
        if stretch.runs > 1:
            length = stretch.stride * stretch.runs
            os.posix_fadvise(self._descriptors[tensor.file], stretch.offset, length, os.POSIX_FADV_WILLNEED)

    def read(self, tensor: TensorInfo, stretch: Stretch, out: Array) -> int:
        """Read ``stretch`` of ``tensor`` into ``out``.

        Args:
            tensor: Names the file; its dtype has the item size of ``out``.
            stretch: What to read.
            out: One axis, contiguous, ``stretch.elements`` long.

        Returns:
            The number of bytes read.

        Raises:
            CorruptCheckpoint: The file ends too early, or the system can't read it.
        """
        memory = out.data.cast("B")
        length = stretch.run * out.itemsize
        for number in range(stretch.runs):
            self._read_run(
                tensor,
                stretch.offset + number * stretch.stride,
                memory[number * length : (number + 1) * length],
            )
        return memory.nbytes

    def _read_run(self, tensor: TensorInfo, offset: int, memory: memoryview) -> None:
        descriptor = self._descriptors[tensor.file]
        done = 0
        while done < memory.nbytes:
            try:
                count = os.preadv(descriptor, [memory[done:]], offset + done)
            except OSError as error:
                raise _unreadable(tensor.file, tensor, error) from error
            if count == 0:
                problem = Problem(
                    CorruptCheckpoint,
                    f"{tensor.file.name} ended while it was read: it has become shorter than its header says",
                    file=tensor.file.name,
                    tensor=tensor.name,
                    expected=f"{offset + memory.nbytes} bytes or more",
                    found=f"{offset + done} bytes",
                    advice="make sure that nothing writes to the checkpoint, and download the file again",
                )
                raise CorruptCheckpoint([problem], str(tensor.file.parent))
            done += count


def _unreadable(path: Path, tensor: TensorInfo | None, error: OSError) -> CorruptCheckpoint:
    reason = error.strerror or str(error)
    problem = Problem(
        CorruptCheckpoint,
        f"{path.name} can't be read: {reason}",
        file=path.name,
        tensor=None if tensor is None else tensor.name,
        found=reason,
        advice="check the disk or the network it is on, then load again",
    )
    return CorruptCheckpoint([problem], str(path.parent))
