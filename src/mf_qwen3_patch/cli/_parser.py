"""Argument parser with examples in its help, and a suggestion where a word is misspelled."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from mf_qwen3_patch._nearest import did_you_mean


class Parser(argparse.ArgumentParser):
    """Parser of the command line, and of each command.

    Args:
        examples: Command lines to show below the options; a line that ends with a colon introduces the next one.
        keywords: As for ``argparse.ArgumentParser``.
    """

    def __init__(self, *, examples: Sequence[str] = (), **keywords: Any) -> None:
        # Abbreviated options would stop being options as soon as a new one begins with the same letters.
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **keywords)
        if examples:
            self.epilog = "\n".join(["examples:", *(f"  {example}" for example in examples)])

    def error(self, message: str) -> NoReturn:
        """Print usage and message, with the choice that comes nearest, and exit with 2."""
        found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if found:
            choices = re.findall(r"[\w-]+", found[2])
            message = message.replace(found[0], f"{found[0]}{did_you_mean(found[1], choices)}")
        super().error(message)


class _Formatter(argparse.HelpFormatter):
    """Keeps the lines of examples as they are, and fills every other text."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:\n") else super()._fill_text(text, width, indent)
