"""Builds the project, and installs it with pip into a venv of its own, as a user would, beside the packages here."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.support.processes import ROOT


def bare(place: Path) -> Path:
    """Make a venv at ``place`` and return its interpreter.

    What this interpreter has in its site-packages, the venv sees, too; but none of the ``.pth`` files there.
    """
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    here = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    # First in the order of names, since the shim needs wrapt as soon as its own .pth is executed.
    (site_packages / "__packages_here.pth").write_text("\n".join(here) + "\n")
    return python


def build(kind: str, source: Path, place: Path) -> Path:
    """Build an ``sdist`` or a ``wheel`` of ``source`` into ``place``, as pip would, without any download."""
    code = "import hatchling.build, sys; print(getattr(hatchling.build, 'build_' + sys.argv[1])(sys.argv[2]))"
    command = [sys.executable, "-c", code, kind, str(place)]
    finished = subprocess.run(command, cwd=source, env=clean_environment(), text=True, capture_output=True, check=True)
    return place / finished.stdout.split()[-1]


def install(place: Path, what: Path = ROOT, *, editable: bool = False) -> Path:
    """Make such a venv, install the project into it, and return its interpreter.

    Args:
        place: Where the venv shall be.
        what: The project's directory, a wheel, or an sdist.
        editable: Leave the sources where they are.
    """
    python = bare(place)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    project = ["--editable", str(what)] if editable else [str(what)]
    # The project may be installed here as well; for pip that would be "already satisfied".
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        *options,
        "--ignore-installed",
        *project,
    ]
    finished = subprocess.run(command, text=True, capture_output=True, check=False, env=clean_environment())
    if finished.returncode:
        raise AssertionError(finished.stdout + finished.stderr)
    return python


def uninstall(python: Path) -> None:
    """Take the project out of the venv of this interpreter again."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "uninstall", "--yes", "--quiet", "mf-qwen3-patch"]
    subprocess.run(pip, check=True, env=clean_environment(), capture_output=True)


def start(*command: object, cwd: Path, timeout: float, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a clean environment with ``variables``, whatever its exit code."""
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=clean_environment(**variables),
        text=True,
        capture_output=True,
        check=False,
        timeout=timeout,
    )


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without whatever steers Python, MindFormers or the shim, plus ``variables``."""
    forgotten = ("RUN_MODE", "ENFORCE_EAGER", "RANK_ID", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONDONTWRITEBYTECODE")
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in forgotten and not name.startswith("MF_QWEN3_PATCH")
    }
    return {**environ, "OMP_NUM_THREADS": "1", **variables}
