"""``check`` of directories that want to do something else than to be loaded; and the harness notices what is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.attacks import ATTACKS
from tests.support.audited import (
    FILES_ONLY,
    FOREIGN,
    HANGING,
    NAIVE,
    RIGHT,
    SILENT,
    SOUND,
    Outcome,
    run_attacks,
)
from tests.support.processes import ROOT

GOOD = ROOT / "src/mf_qwen3_patch/micro_qwen3"


def _names(outcomes: list[Outcome]) -> list[tuple[str, str, str]]:
    return [(outcome.entry, ATTACKS[outcome.attack].name, outcome.detail) for outcome in outcomes]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return run_attacks(GOOD, tmp_path_factory.mktemp("attacks"), FILES_ONLY)


def test_every_attacked_directory_is_judged_by_our_own_words(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == len(ATTACKS) * len(FILES_ONLY)
    assert _names([outcome for outcome in outcomes if outcome.verdict not in SOUND]) == []


def test_none_runs_code_or_writes_or_connects(outcomes: list[Outcome]) -> None:
    assert [(ATTACKS[outcome.attack].name, outcome.forbidden) for outcome in outcomes if outcome.forbidden] == []


@pytest.mark.parametrize(
    ("attack", "verdict", "forbidden"),
    [
        ("modules of every name", RIGHT, ["exec ", "code was run: generate"]),
        ("beside the weights", RIGHT, ["pickle.find_class", "code was run: pickle"]),
        ("rank_0 leads outside", RIGHT, ["open ", "socket.getaddrinfo", "subprocess.Popen"]),
        ("of a repository, in adapter_config.json", FOREIGN, []),
        ("model.safetensors is a directory", SILENT, []),
        ("config.json is a pipe", HANGING, []),
    ],
)
def test_what_is_done_is_noticed(attack: str, verdict: str, forbidden: list[str], tmp_path: Path) -> None:
    (number,) = (number for number, each in enumerate(ATTACKS) if each.name == attack)
    (outcome,) = run_attacks(GOOD, tmp_path, [NAIVE], [number], limit=2)

    assert outcome.verdict == verdict
    for start in forbidden:
        assert any(line.startswith(start) for line in outcome.forbidden), outcome.forbidden
    assert bool(outcome.forbidden) == bool(forbidden)
