"""How a load uses the disk and the page cache, and the account of what they gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.memory import free_host_memory
from mf_qwen3_patch.checkpoint.files.disk_reader import READ_BYTES, Disk
from mf_qwen3_patch.checkpoint.files.read_file import CheckpointFile
from mf_qwen3_patch.settings import page_cache_policy, reads_in_flight

# Threads that have work for less of the time than this were waiting for the disk.
_BUSY = 0.8


@dataclass(frozen=True)
class Reading:
    """What the disk and the page cache gave for a load.

    Attributes:
        cached_bytes: What the page cache held.
        disk_bytes: What came from the disk.
        direct_bytes: Of these, what was read past the page cache.
        untold_bytes: What came from a file system that does not tell the two apart.
        disk_seconds: How long at least one read of ``disk_bytes`` or ``untold_bytes`` was in flight.
        reads_in_flight: The most reads from the disk at a time.
        bottleneck: What took longest: ``disk``, ``cast`` or ``memory``, which is copying.
    """

    cached_bytes: int
    disk_bytes: int
    direct_bytes: int
    untold_bytes: int
    disk_seconds: float
    reads_in_flight: int
    bottleneck: str

    @property
    def disk_gigabytes_per_second(self) -> float:
        """What the disk gave while it was read from, in 10^9 bytes; 0 if it was not."""
        return (self.disk_bytes + self.untold_bytes) / self.disk_seconds / 1e9 if self.disk_seconds else 0.0

    @property
    def cached_share(self) -> float:
        """The part of all bytes that the page cache held."""
        total = self.cached_bytes + self.disk_bytes + self.untold_bytes
        return self.cached_bytes / total if total else 0.0

    def __str__(self) -> str:
        parts = [f"{self.cached_share:.0%} from the page cache"]
        for count, source in ((self.disk_bytes, "disk"), (self.untold_bytes, "disk or page cache")):
            if count:
                rate = f"{self.disk_gigabytes_per_second:.2f} GB/s, at most {self.reads_in_flight} reads at a time"
                parts.append(f"{count / 1e9:.2f} GB from the {source} at {rate}")
        if self.direct_bytes:
            parts.append(f"{self.direct_bytes / 1e9:.2f} GB of it past the page cache")
        return f"{', '.join(parts)}; bottleneck: {self.bottleneck}"


def open_disk(
    files: Callable[[Path], CheckpointFile], paths: Iterable[Path], *, workers: int, parameter_bytes: int
) -> tuple[Disk, int]:
    """Return the disk that the weight files at ``paths`` are read from, and how many reads may be in flight.

    The page cache is left as it is where it has no room for the files beside ``parameter_bytes``, those of all ranks:
    what it took in would drive out what others use, and the files' own beginning. ``MF_QWEN3_PATCH_PAGE_CACHE``
    overrides that.
    """
    policy, reads = page_cache_policy(), reads_in_flight(READ_BYTES)
    bypass = policy == "bypass"
    if policy == "auto":
        free = free_host_memory()
        bypass = free is not None and free < parameter_bytes + sum(files(path).size for path in paths)
    return Disk(files, workers=workers, reads=reads, bypass=bypass, bypass_untold=policy == "bypass"), reads


def account(disk: Disk, *, reads: int, workers: int, seconds: float, cast_seconds: float) -> Reading:
    """Return the account of a load that took ``seconds``, of which its threads together cast ``cast_seconds``."""
    use = disk.use
    bottleneck = "cast" if cast_seconds > use.work_seconds / 2 else "memory"
    if use.disk_seconds > seconds / 2 and use.work_seconds < _BUSY * workers * seconds:
        bottleneck = "disk"
    return Reading(
        cached_bytes=use.cached_bytes,
        disk_bytes=use.disk_bytes,
        direct_bytes=use.direct_bytes,
        untold_bytes=use.untold_bytes,
        disk_seconds=use.disk_seconds,
        reads_in_flight=reads,
        bottleneck=bottleneck,
    )
