"""Sizes of files as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(size: str | int) -> int:
    """Return a size in bytes: of a number and a unit, as transformers takes them (``5GB`` is 5 * 10**9 bytes).

    Raises:
        ValueError: It is none.
    """
    match = re.fullmatch(r"([0-9]{1,15}) ?([KMGT]?I?B?)", str(size).upper(), re.ASCII)
    if match is None or match[2] not in _UNITS or int(match[1]) == 0:
        raise ValueError(f"{size!r} is not a size such as 5GB, 500MB or 1GiB")
    return int(match[1]) * _UNITS[match[2]]
