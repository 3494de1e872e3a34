"""Rehearsals on Ascend cards that are not there: the real Ascend plugin of MindSpore on a stub of CANN.

See README.md for what they show and what they cannot.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.ascend.built_once import built_once, skip_or_fail
from tests.ascend.rehearsal import Rehearse
from tests.ascend.stub_cann.build import build, why_not

_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def stub_cann(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The stub for the installed MindSpore."""
    skip_or_fail(why_not())
    sources = [path for path in (_HERE / "stub_cann").rglob("*") if path.suffix in (".c", ".py")]
    # MindSpore 2.7.2 takes what comes before "cann/" for the place of the toolkit: no directory may end in that.
    return built_once(tmp_path_factory, request, "ascend_stub", [*sources, _HERE / "counters.py"], build)


@pytest.fixture
def rehearse(stub_cann: Path, tmp_path: Path) -> Rehearse:
    """Runs a script under a chosen kind and number of cards."""
    return Rehearse(stub_cann, tmp_path)


@pytest.fixture(scope="module")
def rehearse_once(stub_cann: Path, tmp_path_factory: pytest.TempPathFactory) -> Rehearse:
    """The same, for a run that several tests of a module look at."""
    return Rehearse(stub_cann, tmp_path_factory.mktemp("rehearsal"))
