"""Where transformers 4 and 5 read a directory differently, it is never in silence that one of them is followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.readings import DISPUTED, JUDGES, every_source, make_disputed, readings, saved_sources

from mf_qwen3_patch.checkpoint.checks.preflight import preflight


def test_both_have_read_every_directory() -> None:
    names = [source.name for source in every_source()]
    assert [list(readings(judge)) for judge in JUDGES] == [names, names]


def test_what_transformers_4_has_saved_both_read_alike() -> None:
    fours, fives = map(readings, JUDGES)
    ours = [name for name in fours if name.startswith("checkpoints/")]
    assert len(ours) >= 20
    assert [name for name in ours if fours[name] != fives[name]] == []


@pytest.mark.parametrize("source", saved_sources(), ids=lambda source: source.name)
def test_what_transformers_5_has_saved_it_reads_as_the_original(source: object, tmp_path: Path) -> None:
    fives = readings(5)
    assert fives[source.name] == fives[f"checkpoints/{source.base}"]
    found = preflight(source.directory(tmp_path), **source.options)
    assert (found.problems, found.warnings) == ((), ())


@pytest.mark.parametrize("name", DISPUTED)
def test_a_directory_in_dispute_says_which_is_meant_or_it_is_asked(name: str, tmp_path: Path) -> None:
    case = DISPUTED[name]
    fours, fives = (readings(judge)[f"disputed/{name}"] for judge in JUDGES)
    directory = make_disputed(name, tmp_path)
    found = preflight(directory)

    if case.meant is None:
        assert fours != fives
        (problem,) = found.problems
        for judge in JUDGES:
            (keyword,) = case.keywords[judge]
            assert problem.field == keyword
            assert f"{keyword}={case.keywords[judge][keyword]}" in str(problem.advice)
        return
    assert found.problems == ()
    assert bool(case.because) == (fours != fives)
    assert "tokens" in (fours, fives)[case.meant == 5]
    if case.warned is None:
        assert found.warnings == ()
    else:
        (warning,) = found.warnings
        assert case.warned in warning
