"""Command-line values that several commands take."""

from __future__ import annotations

import argparse
import re

__all__ = ["add_shard_size", "positive_int", "shard_size"]

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def positive_int(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 6 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def shard_size(text: str) -> int:
    """Read a size: a number and a unit, as transformers takes them (``5GB`` is 5 * 10**9 bytes)."""
    match = re.fullmatch(r"([0-9]{1,15}) ?([KMGT]?I?B?)", text.upper(), re.ASCII)
    if match is None or match[2] not in _UNITS or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 5GB, 500MB or 1GiB")
    return int(match[1]) * _UNITS[match[2]]


def add_shard_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-shard-size``."""
    parser.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        type=shard_size,
        default="5GB",
        help="of one weight file, unless a single tensor is larger (default: 5GB)",
    )
