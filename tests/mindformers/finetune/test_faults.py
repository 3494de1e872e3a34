"""Every fault of a directory that is fine-tuned, in both of MindFormers' branches: one error, or a right load."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.breaking import SHARDS
from tests.faults.finetuning import FAULTS
from tests.support.checkpoints import write_checkpoint
from tests.support.finetuning import outcomes

BRANCHES = {"load_param_into_net": False, "load_distributed_checkpoint": True}


@pytest.mark.parametrize("branch", BRANCHES)
def test_nothing_is_silent_and_nothing_hangs(branch: str, tmp_path: Path) -> None:
    sound = write_checkpoint(tmp_path / "sound", shards=SHARDS)
    cases = {}
    for number, fault in enumerate(FAULTS):
        directory = write_checkpoint(tmp_path / f"hf_{number}", shards=SHARDS)
        fault.make(directory)
        cases[fault.title] = {
            "directory": directory,
            "source": sound,
            "config_directory": sound if fault.config_elsewhere else None,
            "distributed": BRANCHES[branch],
            "model_config": fault.model_config,
            "output_dir": f"out_{number}",
        }
    found = outcomes(cases, tmp_path, shim=True)

    for fault in FAULTS:
        outcome = found[fault.title]
        if not fault.error:
            assert outcome.get("wrong") == [], (fault.title, outcome)
            continue
        assert outcome.get("error") == fault.error, (fault.title, outcome)
        for words in (fault.code, *fault.says):
            assert words in outcome["message"], (fault.title, outcome["message"])
