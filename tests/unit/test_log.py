"""The logger of the package: levels, standard error, a program's own handlers, ranks."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest
from tests.support.installed import clean_environment
from tests.support.processes import ROOT

from mf_qwen3_patch import _log
from mf_qwen3_patch._warn import warn


def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script that can import the package, in an interpreter without any handler of logging."""
    environment = clean_environment(PYTHONPATH=str(ROOT / "src"), **variables)
    return subprocess.run([sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=False)


_SPEAK = "import mf_qwen3_patch; from mf_qwen3_patch import _log; _log.debug('one'); _log.info('two %d', 2)"


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        ("", ["mf_qwen3_patch: two 2"]),
        ("info", ["mf_qwen3_patch: two 2"]),
        ("DEBUG", ["mf_qwen3_patch: one", "mf_qwen3_patch: two 2"]),
        ("warning", []),
        ("silent", []),
    ],
)
@pytest.mark.parametrize("active", ["0", "1"])
def test_the_variable_sets_the_level_and_standard_output_stays_empty(level: str, lines: list[str], active: str) -> None:
    finished = run(_SPEAK, MF_QWEN3_PATCH_LOG=level, MF_QWEN3_PATCH=active)

    assert (finished.stdout, finished.stderr.splitlines()) == ("", lines)


def test_another_level_is_an_error_that_lists_the_valid_ones() -> None:
    finished = run(_SPEAK, MF_QWEN3_PATCH_LOG="loud")

    assert "MF_QWEN3_PATCH_LOG='loud' is not one of 'debug', 'info', 'warning', 'silent'" in finished.stderr


def test_other_ranks_are_silent() -> None:
    assert run(_SPEAK, RANK_ID="1").stderr == ""


def test_a_program_that_configures_logging_gets_the_record_once_in_its_own_form() -> None:
    configure = "import logging, sys; logging.basicConfig(level='INFO', format='%(name)s|%(message)s|%(filename)s')"

    assert run(f"{configure}; {_SPEAK}").stderr == "mf_qwen3_patch|two 2|<string>\n"


def test_a_reload_does_not_write_everything_twice() -> None:
    reload = "import importlib; importlib.reload(_log); importlib.reload(mf_qwen3_patch); _log.info('three')"

    assert run(f"{_SPEAK}; {reload}").stderr.splitlines() == ["mf_qwen3_patch: two 2", "mf_qwen3_patch: three"]


@pytest.mark.parametrize(("level", "count"), [("warning", 1), ("silent", 0)])
def test_silent_keeps_warnings_away_too(level: str, count: int) -> None:
    try:
        _log.set_up(_log.LEVELS[level])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn("something", UserWarning)
    finally:
        _log.set_up()

    assert len(caught) == count
    assert _log.LOGGER.level == logging.INFO
