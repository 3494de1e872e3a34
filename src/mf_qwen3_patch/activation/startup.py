"""Getting into a program that is not to be changed: by which ways, and where their files are.

* ``mf_qwen3_patch.pth`` is installed beside the package, at the root of site-packages, where every interpreter
  executes it at start-up. It imports the shim if ``MF_QWEN3_PATCH`` is ``1`` or ``strict``, and nothing otherwise.
* ``injection/sitecustomize.py`` does the same through PYTHONPATH, where the ``.pth`` is not installed.
* ``injection/pythonstartup.py`` is for PYTHONSTARTUP, which Python reads in interactive sessions only.

None of them raises into the host: what goes wrong is one line on stderr.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path

PTH = "mf_qwen3_patch.pth"
PYTHONSTARTUP = "PYTHONSTARTUP"
IPYTHON = "%load_ext"

_INJECTION = Path(__file__).with_name("injection")
_PACKAGE_PARENT = Path(__file__).parents[2]
_ways: list[str] = []


def note_way(way: str) -> None:
    """Remember that the shim came into this process by ``way``."""
    if way not in _ways:
        _ways.append(way)


def ways() -> tuple[str, ...]:
    """Return by which ways the shim came into this process; none means a plain import."""
    return tuple(_ways)


def startup_file() -> Path:
    """Return the file that PYTHONSTARTUP shall name."""
    return _INJECTION / "pythonstartup.py"


def installed_pth() -> Path | None:
    """Return the ``.pth`` that this interpreter executes at start-up, or None."""
    directories = [] if sys.flags.no_site else site.getsitepackages()
    if site.ENABLE_USER_SITE:
        directories.append(site.getusersitepackages())
    return next((path for path in (Path(directory, PTH) for directory in directories) if path.is_file()), None)


def with_injection(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` so that this interpreter, started anew, and its children activate the shim.

    ``MF_QWEN3_PATCH`` is kept if it is set. Raises ValueError if the interpreter's options forbid both ways of getting
    in.
    """
    result = {**environ, "MF_QWEN3_PATCH": environ.get("MF_QWEN3_PATCH") or "1"}
    if installed_pth() is not None:
        return result
    if sys.flags.no_site or sys.flags.ignore_environment:
        raise ValueError(
            f"{PTH} is not in this interpreter's site-packages, and -S, -E or -I keeps it from being reached "
            "by PYTHONPATH; install mf_qwen3_patch with pip, or leave the option out"
        )
    entries = result.get("PYTHONPATH", "").split(os.pathsep)
    wanted = [str(_INJECTION), *(entry for entry in entries if entry and Path(entry) != _INJECTION)]
    if str(_PACKAGE_PARENT) not in wanted and _PACKAGE_PARENT not in map(Path, site.getsitepackages()):
        wanted.append(str(_PACKAGE_PARENT))
    result["PYTHONPATH"] = os.pathsep.join(wanted)
    return result
