"""Makes files cold, and counts what disks read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_DROP = Path("/proc/sys/vm/drop_caches")
_SECTOR_BYTES = 512  # of the kernel's statistics, whatever the device's own are


def warm(files: Iterable[Path]) -> None:
    """Read files, so that the page cache holds them."""
    buffer = bytearray(1 << 24)
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def can_drop() -> bool:
    """Return whether this user may empty the page cache."""
    return os.access(_DROP, os.W_OK)


def drop_files(files: Iterable[Path]) -> None:
    """Empty the page cache of these files."""
    os.sync()
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def drop(files: Iterable[Path]) -> None:
    """Empty the page cache: of these files first, then of all; needs root."""
    drop_files(files)
    _DROP.write_text("1")


def device_bytes(path: Path) -> int | None:
    """Return how many bytes the block device that holds ``path`` has read so far, for everyone; None if it has none."""
    device = path.stat().st_dev
    statistics = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    return int(statistics.read_text().split()[2]) * _SECTOR_BYTES if statistics.exists() else None
