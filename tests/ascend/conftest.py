"""Rehearsals on Ascend cards that are not there: the real Ascend plugin of MindSpore on a stub of CANN.

See README.md for what they show and what they cannot.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.ascend.rehearsal import Rehearse
from tests.ascend.stub_cann.build import build, why_not

_STUB_SOURCES = Path(__file__).parent / "stub_cann"


@pytest.fixture(scope="session")
def stub_cann(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The stub for the installed MindSpore: built once, kept in pytest's cache, shared by all workers."""
    reason = why_not()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(f"a rehearsal on Ascend is not to be left out here: {reason}")
        pytest.skip(reason)
    cache = getattr(request.config, "cache", None)
    # MindSpore 2.7.2 takes what comes before "cann/" for the place of the toolkit: no directory may end in that.
    shared = Path(cache.mkdir("ascend_stub")) if cache else tmp_path_factory.getbasetemp()
    sources = sorted(path for path in _STUB_SOURCES.rglob("*") if path.suffix in (".c", ".py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in [*sources, Path(__file__).with_name("counters.py")]))
    stub = shared / f"mindspore-{version('mindspore')}-{digest.hexdigest()[:12]}"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stub.exists():
            build(stub)
    return stub


@pytest.fixture
def rehearse(stub_cann: Path, tmp_path: Path) -> Rehearse:
    """Runs a script under a chosen kind and number of cards."""
    return Rehearse(stub_cann, tmp_path)


@pytest.fixture(scope="module")
def rehearse_once(stub_cann: Path, tmp_path_factory: pytest.TempPathFactory) -> Rehearse:
    """The same, for a run that several tests of a module look at."""
    return Rehearse(stub_cann, tmp_path_factory.mktemp("rehearsal"))
