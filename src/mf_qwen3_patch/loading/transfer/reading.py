"""How a load uses the disk and the page cache, and the account of what they gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.memory import free_host_memory
from mf_qwen3_patch.checkpoint.reading.disk_reader import READ_BYTES, Disk
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile
from mf_qwen3_patch.settings import page_cache_policy, reads_in_flight

# With the page cache, the system's read-ahead comes on top of what is in flight.
_DIRECT_READS, _CACHED_READS = 8, 4
# Threads that have work for less of the time than this were waiting for the disk.
_BUSY = 0.8


@dataclass(frozen=True)
class Reading:
    """What the disk and the page cache gave for a load.

    Attributes:
        disk_bytes: What disks were made to read, as the system counts it for the process; None if it does not.
        direct_bytes: Of these, what was read past the page cache.
        disk_seconds: From the first wait for a disk to the end of the last.
        cached_share: The part of what was read that no disk was needed for; None if that is not known.
        reads_in_flight: The most reads from a disk at a time.
        bottleneck: What took longest: ``disk``, ``cast`` or ``memory``, which is copying.
    """

    disk_bytes: int | None
    direct_bytes: int
    disk_seconds: float
    cached_share: float | None
    reads_in_flight: int
    bottleneck: str

    @property
    def disk_gigabytes_per_second(self) -> float | None:
        """What disks gave while they were read from, in 10^9 bytes; None if they were not, or it is not known."""
        return self.disk_bytes / self.disk_seconds / 1e9 if self.disk_bytes and self.disk_seconds else None

    def __str__(self) -> str:
        parts = []
        if self.cached_share is not None:
            parts.append(f"{self.cached_share:.0%} were in memory")
        if self.disk_bytes and self.disk_gigabytes_per_second:
            rate = f"{self.disk_gigabytes_per_second:.2f} GB/s, at most {self.reads_in_flight} reads at a time"
            parts.append(f"{self.disk_bytes / 1e9:.2f} GB came from the disk at {rate}")
        if self.direct_bytes:
            parts.append(f"{self.direct_bytes / 1e9:.2f} GB went past the page cache")
        return ", ".join([*parts, f"bottleneck: {self.bottleneck}"])


def open_disk(
    files: Callable[[Path], CheckpointFile], paths: Iterable[Path], *, workers: int, parameter_bytes: int
) -> tuple[Disk, int]:
    """Return the disk that the weight files at ``paths`` are read from, and how many reads may be in flight.

    The page cache is left as it is where it has no room for the files beside ``parameter_bytes``, those of all ranks:
    what it took in would drive out what others use, and the files' own beginning. ``MF_QWEN3_PATCH_PAGE_CACHE``
    overrides that.
    """
    policy = page_cache_policy()
    bypass = policy == "bypass"
    if policy == "auto":
        free = free_host_memory()
        bypass = free is not None and free < parameter_bytes + sum(files(path).size for path in paths)
    reads = reads_in_flight(READ_BYTES, _DIRECT_READS if bypass else _CACHED_READS)
    return Disk(files, workers=workers, reads=reads, bypass=bypass, bypass_untold=policy == "bypass"), reads


def account(disk: Disk, *, reads: int, workers: int, seconds: float, cast_seconds: float, bytes_read: int) -> Reading:
    """Return the account of a load that took ``seconds``, of which its threads together cast ``cast_seconds``."""
    use, disk_bytes = disk.use, disk.use.disk_bytes
    bottleneck = "cast" if cast_seconds > use.work_seconds / 2 else "memory"
    if use.seconds > seconds / 2 and use.work_seconds < _BUSY * workers * seconds:
        bottleneck = "disk"
    share = None if disk_bytes is None or not bytes_read else max(0.0, 1 - disk_bytes / bytes_read)
    return Reading(disk_bytes, use.direct_bytes, use.seconds, share, reads, bottleneck)
