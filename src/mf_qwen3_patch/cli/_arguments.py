"""Command-line values that several commands take."""

from __future__ import annotations

import argparse

from mf_qwen3_patch.checkpoint.writing.safetensors_writer import parse_size


def positive_int(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 6 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def shard_size(text: str) -> int:
    """Read a size, see ``parse_size``."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_shard_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-shard-size``."""
    parser.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        type=shard_size,
        default="5GB",
        help="of one weight file, unless a single tensor is larger (default: 5GB)",
    )
