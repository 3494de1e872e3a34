"""The note of the layouts in a file's metadata."""

from __future__ import annotations

from itertools import product

import pytest

from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.families.layout import INFERENCE, TRAINING


@pytest.mark.parametrize("layouts", [Layouts(*parts) for parts in product((INFERENCE, TRAINING), repeat=3)], ids=str)
def test_every_note_is_read_back(layouts: Layouts) -> None:
    assert Layouts.noted(layouts.note) == layouts


def test_one_layout_for_everything_has_its_own_name() -> None:
    assert [Layouts.all(layout).note for layout in (INFERENCE, TRAINING)] == ["inference", "training"]
    mixed = Layouts(linear_qkv=INFERENCE, linear_fc1=TRAINING, experts=TRAINING)
    assert mixed.note == "linear_qkv: inference, linear_fc1: training, experts: training"


@pytest.mark.parametrize("note", [None, "", "Training", "linear_qkv: inference"])
def test_anything_else_is_no_note(note: str | None) -> None:
    assert Layouts.noted(note) is None
