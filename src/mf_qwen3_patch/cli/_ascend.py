"""Facts about Ascend on this machine, for a report: CANN, driver and NPUs, from files and ``npu-smi``."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

_ROOT = Path("/usr/local/Ascend")
_SECONDS = 10  # npu-smi hangs where the driver does
# "| 0     910B2               | OK            | 93.9        44 ..." and, in the line below it,
# "| 0                         | 0000:C1:00.0  | 0           0    / 0          3370 / 65536 |".
_FIRST_LINE = re.compile(r"\|\s*(\d+)\s+(\S+)\s*\|\s*(\S+)\s*\|")
_USED_OF_TOTAL = re.compile(r"(\d+)\s*/\s*(\d+)")


class Npu(TypedDict):
    """An NPU as ``npu-smi info`` lists it; memory in MB, None where it says nothing."""

    id: int
    name: str
    health: str
    memory_mb: int | None
    memory_used_mb: int | None


class AscendFacts(TypedDict):
    """The versions of CANN and driver, None for what is not there, and the NPUs."""

    cann: str | None
    driver: str | None
    npus: list[Npu]


def ascend_facts(environ: Mapping[str, str] = os.environ, root: Path = _ROOT) -> AscendFacts:
    """Return what is known of Ascend here; never raises."""
    return {
        "cann": _first_version(_cann_files(environ, root)),
        "driver": _first_version([root / "driver" / "version.info"]),
        "npus": list(parse_npus(_npu_smi())),
    }


def _cann_files(environ: Mapping[str, str], root: Path) -> Iterator[Path]:
    """Yield the files that say a version, of the CANN that is set up first."""
    variables = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
    homes = [Path(environ[name]) for name in variables if environ.get(name)]
    for home in (*homes, root / "ascend-toolkit" / "latest", root / "cann"):
        for architecture in (f"{os.uname().machine}-linux", "aarch64-linux", "x86_64-linux"):
            yield home / architecture / "ascend_toolkit_install.info"
        yield home / "compiler" / "version.info"


def _first_version(files: Iterator[Path] | list[Path]) -> str | None:
    for file in files:
        try:
            found = re.search(r"^version=(\S+)", file.read_text(errors="replace"), re.MULTILINE | re.IGNORECASE)
        except OSError:
            continue
        if found:
            return found[1]
    return None


def _npu_smi() -> str:
    try:
        finished = subprocess.run(
            ["npu-smi", "info"], capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return finished.stdout if finished.returncode == 0 else ""


def parse_npus(text: str) -> Iterator[Npu]:
    """Yield the NPUs in the table that ``npu-smi info`` prints; what does not look like one is left out."""
    lines = text.partition("Process id")[0].splitlines()
    for line, following in pairwise(lines):
        first = _FIRST_LINE.match(line)
        if first is None or ":" not in following:
            continue
        # Of memory and HBM, a card has one; the other is "0 / 0".
        pairs = [(int(total), int(used)) for used, total in _USED_OF_TOTAL.findall(following)]
        total, used = max(pairs, default=(0, 0))
        memory = (total, used) if total else (None, None)
        yield {
            "id": int(first[1]),
            "name": first[2],
            "health": first[3],
            "memory_mb": memory[0],
            "memory_used_mb": memory[1],
        }
