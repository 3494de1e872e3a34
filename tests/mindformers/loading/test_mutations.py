"""Mutated directories are refused, or give HuggingFace's tokens; ``scripts/compare_mutations.py`` tries any number."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.support.mutations import ALONE, CLOSE, REFUSED, SAME, WARNED, shim_outcomes, verdict
from tests.support.processes import ROOT


@pytest.mark.sweep
def test_mutated_directories_are_refused_or_give_huggingface_s_tokens(tmp_path: Path) -> None:
    wanted = json.loads((ROOT / "tests/reference_data/mutations.json").read_text())
    found = shim_outcomes([int(seed) for seed in wanted], tmp_path)

    verdicts = {seed: verdict(found[seed], wanted[seed]) for seed in wanted}
    bad = {seed: found[seed] for seed, said in verdicts.items() if said not in (ALONE, CLOSE, REFUSED, SAME, WARNED)}
    assert bad == {}
    counts = Counter(verdicts.values())
    assert counts[SAME] > len(wanted) // 4
    assert counts[REFUSED] > len(wanted) // 4
