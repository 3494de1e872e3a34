"""The counters that the stub CANN keeps, read by the test and by the rehearsed script alike."""

from __future__ import annotations

import os
import struct
from collections import Counter
from pathlib import Path

FIELDS = (
    *("h2d_bytes", "h2d_copies", "h2d_largest"),  # host to device
    *("d2h_bytes", "d2h_copies", "d2h_largest"),  # device to host
    *("d2d_bytes", "d2d_copies"),
    *("device_live", "device_peak"),  # bytes of device memory
    *("host_live", "host_peak"),  # bytes of pinned host memory
    "launches",  # operators of every kind
    "set_device",  # 1 + the card chosen last; 0: none yet
)
"""The members of ``struct counters`` in C, in this order; ``build.py`` writes the header from them."""

COUNTERS_VARIABLE = "REHEARSAL_COUNTERS"
OPERATORS_VARIABLE = "REHEARSAL_OPERATORS"


def read_counters(path: str | os.PathLike[str]) -> dict[str, int]:
    """Return the counters in a file that the stub maps into memory; all 0 if it was never loaded."""
    data = Path(path).read_bytes() if Path(path).exists() else b""
    size = 8 * len(FIELDS)
    return dict(zip(FIELDS, struct.unpack(f"<{len(FIELDS)}Q", data[:size].ljust(size, b"\0")), strict=True))


def read_operators(path: str | os.PathLike[str]) -> Counter[str]:
    """Return how often each operator was launched."""
    return Counter(Path(path).read_text().splitlines() if Path(path).exists() else [])


def counters() -> dict[str, int]:
    """Return the counters of this process so far; for rehearsed scripts."""
    return read_counters(os.environ[COUNTERS_VARIABLE])


def operators() -> Counter[str]:
    """Return the operators that this process has launched so far; for rehearsed scripts."""
    return read_operators(os.environ[OPERATORS_VARIABLE])
