"""Whichever way weights come in, what is wrong with them is an error or, where it changes nothing, a warning."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mindformers.loading.entries import CASES, ENTRIES, RIGHT, Entry, EntryFault, good_directory, outcome
from tests.mindformers.loading.transfer.stock import bits, build, differences

from mf_qwen3_patch.errors import CODES


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good_directory(tmp_path_factory.mktemp("entries"))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_sound_directory_loads_right(entry: Entry, source: Path, tmp_path: Path) -> None:
    found = outcome(entry, EntryFault("nothing is wrong", lambda _: None), source, tmp_path)

    assert found.verdict == RIGHT
    # Only the layout that nobody has noted is a matter of trust.
    assert ("the training layout is assumed" in found.message) == entry.name.startswith("merged by MindFormers")


@pytest.mark.sweep
@pytest.mark.parametrize(("entry", "fault"), CASES, ids=[f"{entry.name}: {fault.name}" for entry, fault in CASES])
def test_a_fault_is_noticed(entry: Entry, fault: EntryFault, source: Path, tmp_path: Path) -> None:
    found = outcome(entry, fault, source, tmp_path)

    assert found.verdict in ({RIGHT} if fault.right else set(CODES.values())), found


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.name.endswith("load_weights")], ids=lambda e: e.name
)
def test_after_an_error_the_model_holds_what_it_held_and_has_no_report(
    entry: Entry, source: Path, tmp_path: Path
) -> None:
    (fault,) = (fault for other, fault in CASES if other is entry and fault.name == "a NaN")
    model = build(source)
    model.load_weights(str(source))
    assert model.mf_qwen3_report.directory == str(source)
    before = {name: array.copy() for name, array in bits(model).items()}
    directory = tmp_path / "model"
    entry.make(source, directory)
    fault.make(directory)

    with pytest.raises(ValueError, match="NaN"):
        model.load_weights(str(directory))

    assert getattr(model, "mf_qwen3_report", None) is None
    assert differences(before, bits(model)) == {}
