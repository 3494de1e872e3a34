"""What the rehearsals compile: once for each release of MindSpore and state of the sources, shared by all workers."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import pytest


def skip_or_fail(reason: str | None) -> None:
    """Skip the test for that reason, if there is one; fail it where a skip would not be seen."""
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(f"a rehearsal on Ascend is not to be left out here: {reason}")
        pytest.skip(reason)


def built_once(
    factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    name: str,
    sources: Iterable[Path],
    build: Callable[[Path], None],
) -> Path:
    """Return the directory that ``build`` has made of the sources, kept in pytest's cache."""
    cache = getattr(request.config, "cache", None)
    shared = Path(cache.mkdir(name)) if cache else factory.getbasetemp()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources)))
    directory = shared / f"mindspore-{version('mindspore')}-{digest.hexdigest()[:12]}"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            build(directory)
    return directory
