"""Every command and entry on directories that want something else than to be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.attacks import ATTACKS
from tests.support.audited import ENTRIES, FILES_ONLY, SOUND, run_attacks
from tests.support.processes import ROOT

pytestmark = pytest.mark.sweep


def test_none_runs_code_writes_elsewhere_connects_hangs_or_loads_wrongly(tmp_path: Path) -> None:
    entries = [entry for entry in ENTRIES if entry not in FILES_ONLY]  # which tests/unit tries
    outcomes = run_attacks(ROOT / "src/mf_qwen3_patch/micro_qwen3", tmp_path, entries)

    assert len(outcomes) == len(entries) * len(ATTACKS)
    bad = [outcome for outcome in outcomes if outcome.verdict not in SOUND or outcome.forbidden]
    assert [(outcome.entry, ATTACKS[outcome.attack].name, outcome) for outcome in bad] == []
