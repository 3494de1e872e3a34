"""Every kind of checkpoint at every entry: the model that it holds, or one error; and never a fault of one in silence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.mindformers.loading.kinds import ENTRIES, KIND_FAULTS, KINDS, RIGHT, WRONG, Entry, Sample, outcome

from mf_qwen3_patch.errors import CODES


def outcomes(make: Callable[[Path], Sample], place: Path) -> tuple[Sample, dict[str, str]]:
    sample, found = make(place), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in ENTRIES:
            found[entry.name] = outcome(entry, sample, place)
    return sample, found


@pytest.mark.sweep
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_loads_right_or_is_refused(kind: str, tmp_path: Path) -> None:
    sample, found = outcomes(KINDS[kind], tmp_path)

    codes = set(CODES.values())
    right = {RIGHT} if sample.plain else codes
    assert set(found.values()) <= (right | codes if sample.asked else right), found


@pytest.mark.sweep
@pytest.mark.parametrize("fault", KIND_FAULTS)
def test_a_fault_of_a_special_kind_is_an_error_at_every_entry(fault: str, tmp_path: Path) -> None:
    _, found = outcomes(KIND_FAULTS[fault], tmp_path)

    assert set(found.values()) <= set(CODES.values()), found


def test_a_load_without_an_error_of_what_must_be_refused_counts_as_silent(tmp_path: Path) -> None:
    sound = KINDS["dense"](tmp_path)
    missed = Sample(sound.directory, None, sound.base)

    assert outcome(ENTRIES[0], missed, tmp_path) == WRONG
    assert outcome(Entry("none", ENTRIES[0].load), sound, tmp_path) == RIGHT
