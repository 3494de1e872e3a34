"""The emulated device: the stub CANN, with operators that compute. See README.md for what it shows and what it cannot."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ascend.built_once import built_once, skip_or_fail
from tests.ascend.emulated_device.build import build, preload, why_not
from tests.ascend.rehearsal import Rehearsal, Rehearse

_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def emulated_device(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The emulated device for the installed MindSpore."""
    skip_or_fail(why_not())
    stub: Path = request.getfixturevalue("stub_cann")
    sources = [path for path in _HERE.iterdir() if path.suffix in (".cpp", ".h") or path.name == "build.py"]
    # The stub's name says what it was built of.
    name = f"emulated_device-{stub.name}"
    return built_once(tmp_path_factory, request, name, sources, functools.partial(build, stub))


@pytest.fixture
def emulate(emulated_device: Path, tmp_path: Path) -> Callable[..., Rehearsal]:
    """Runs a script on an emulated 910B."""
    return functools.partial(Rehearse(emulated_device, tmp_path), env=preload(emulated_device))


@pytest.fixture(scope="module")
def emulate_once(emulated_device: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Rehearsal]:
    """The same, for a run that several tests of a module look at."""
    rehearse = Rehearse(emulated_device, tmp_path_factory.mktemp("emulation"))
    return functools.partial(rehearse, env=preload(emulated_device))
