"""Check a release from end to end, and write its files into ``dist/``.

    python -m scripts.check_release               # of the tag of the version
    python -m scripts.check_release --untagged    # of the last commit, as a rehearsal before the tag

See RELEASE.md for what a release must be.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.support.installed import build, install, start, uninstall
from tests.support.processes import ROOT

PACKAGE = "mf_qwen3_patch"
DIST = ROOT / "dist"


class NotReady(Exception):
    """The release is not as it must be; the message says why."""


def require(condition: object, why: str) -> None:
    """Raise ``NotReady`` unless the condition holds."""
    if not condition:
        raise NotReady(why)


def git(*arguments: object) -> str:
    """Return what git prints in this repository, or raise ``NotReady``."""
    command = ["git", "-C", str(ROOT), *map(str, arguments)]
    finished = subprocess.run(command, text=True, capture_output=True, check=False)
    require(finished.returncode == 0, f"git {arguments[0]}: {finished.stderr.strip()}")
    return finished.stdout.strip()


def check_changelog(text: str, version: str) -> None:
    """Check that the newest section of the changelog is that of the version, has a day, and says something."""
    sections = re.findall(r"^## \[(.+?)\](.*)\n((?:(?!## \[).*\n?)*)", text, re.MULTILINE)
    require(sections and sections[0][0] == "Unreleased", "CHANGELOG.md does not begin with an Unreleased section")
    require("- " not in sections[0][2], "CHANGELOG.md still has something under Unreleased")
    newest = sections[1][0] if len(sections) > 1 else "none"
    require(newest == version, f"the newest release in CHANGELOG.md is {newest}, but the version is {version}")
    require(re.fullmatch(r" - \d{4}-\d{2}-\d{2}", sections[1][1]), f"CHANGELOG.md has no day for {version}")
    require(re.search(r"^- ", sections[1][2], re.MULTILINE), f"CHANGELOG.md says nothing about {version}")


def check_repository(version: str, *, untagged: bool) -> None:
    """Check that everything is committed and, unless ``untagged``, that the tag of the version is this commit."""
    require(not git("status", "--porcelain"), "something is not committed; see git status")
    if not untagged:
        tag = f"v{version}"
        require(git("tag", "--list", tag) == tag, f"there is no tag {tag}")
        require(git("rev-list", "-n", 1, tag) == git("rev-parse", "HEAD"), f"the tag {tag} is another commit")


def build_from_clone(version: str, place: Path) -> tuple[Path, Path]:
    """Build the sdist and the wheel in a clean clone; check that the sdist makes the same wheel."""
    clone = place / "clone"
    git("clone", "--quiet", "--no-hardlinks", ROOT, clone)
    sdist, wheel = (build(kind, clone, place / "built") for kind in ("sdist", "wheel"))
    stem = f"{PACKAGE}-{version}"
    require(sdist.name == f"{stem}.tar.gz", f"the sdist is {sdist.name}")
    require(wheel.name == f"{stem}-py3-none-any.whl", f"the wheel is {wheel.name}")
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    again = build("wheel", place / stem, place / "again")
    require(again.read_bytes() == wheel.read_bytes(), "the sdist makes another wheel than the repository")
    return sdist, wheel


def try_out(wheel: Path, version: str, place: Path) -> None:
    """Install the wheel into an environment of its own, try it, and uninstall it."""
    python = install(place / "venv", wheel)

    def run(*arguments: object) -> str:
        finished = start(python, *arguments, cwd=place, timeout=600)
        require(finished.returncode == 0, f"{' '.join(map(str, arguments))}:\n{finished.stdout}{finished.stderr}")
        return finished.stdout

    found = run("-c", f"import {PACKAGE}; print({PACKAGE}.__version__, {PACKAGE}.__path__[0])").split()
    require(found[0] == version, f"the installed package says that it is {found[0]}")
    require(Path(found[1]).is_relative_to(place), f"what was imported is {found[1]}")
    run("-m", PACKAGE, "check", Path(found[1]) / "micro_qwen3")
    run("-m", PACKAGE, "selftest", "--device", "CPU")
    uninstall(python)
    left = sorted((place / "venv").rglob("mf[_-]qwen3*"))
    require(not left, f"uninstalling leaves {', '.join(map(str, left))}")


def main() -> int:
    """Check the release, and write its files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--untagged", action="store_true", help="do not ask for the tag")
    untagged = parser.parse_args().untagged
    version = runpy.run_path(str(ROOT / "src" / PACKAGE / "_version.py"))["__version__"]
    try:
        check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
        check_repository(version, untagged=untagged)
        with tempfile.TemporaryDirectory() as scratch:
            files = build_from_clone(version, Path(scratch))
            try_out(files[1], version, Path(scratch))
            DIST.mkdir(exist_ok=True)
            kept = [Path(shutil.copy(file, DIST)) for file in files]
    except NotReady as why:
        print(f"not ready: {why}", file=sys.stderr)
        return 1
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in kept)
    (DIST / f"{PACKAGE}-{version}.sha256").write_text(sums)
    print(f"{version} is ready, in {DIST}:\n{sums}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
