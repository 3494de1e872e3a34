from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.installed import bare, install


@pytest.fixture(scope="session")
def installed_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter in whose venv the project is installed from a wheel."""
    return install(tmp_path_factory.mktemp("installed") / "venv")


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter in whose venv the project is not installed, so that there is no ``.pth`` either."""
    return bare(tmp_path_factory.mktemp("bare") / "venv")
