"""Two ranks under msrun: the first converts, the other waits; what goes wrong on one is the error of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults.breaking import dropping
from tests.faults.finetuning import poison
from tests.support.checkpoints import edit_weights, write_checkpoint
from tests.support.ranks import run_ranks

_WORKER = """
import sys, time
os.environ["RUN_MODE"] = "finetune"
import mf_qwen3_patch
from mindspore.communication import init
import mindspore
from tests.support.finetuning import built_network, converted_path, trainer_config

mindspore.set_context(device_target="CPU", mode=0)
init()
directory, fault = sys.argv[1:]
if fault == "one rank's directory lacks a tensor":
    directory = f"{directory}_{rank}"
elif fault == "rank 0 is stopped" and rank == 0:
    # The others see that nothing happens, for longer than they wait.
    from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import NewDirectory
    write = NewDirectory.write
    NewDirectory.write = lambda *args, **keywords: time.sleep(15) or write(*args, **keywords)
config = trainer_config(directory, None, "out", {}, {"use_parallel": False})
network = built_network(config)
try:
    outcome = [converted_path(config, network)]
except Exception as error:
    outcome = [type(error).__name__, str(error)]
give(outcome)
"""


def _outcomes(tmp_path: Path, directory: Path, fault: str = "", **variables: str) -> list[Any]:
    return run_ranks(_WORKER, directory, fault, cwd=tmp_path, **variables)


def test_the_first_converts_and_both_load_it(tmp_path: Path) -> None:
    first, second = _outcomes(tmp_path, write_checkpoint(tmp_path / "hf"))

    assert first == second == ["out/qwen3_ms_converted_weight"]


@pytest.mark.sweep
def test_what_only_the_first_can_see_is_the_error_of_both(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    edit_weights(directory, poison)
    first, second = _outcomes(tmp_path, directory)

    assert first[0] == second[0] == "InvalidValues"
    assert "model.layers.0.mlp.up_proj.weight holds NaN or infinity" in first[1]
    assert "model.layers.0.mlp.up_proj.weight holds NaN or infinity" in second[1]
    assert "as rank 0 says" in second[1]


@pytest.mark.sweep
def test_what_only_the_second_sees_is_the_error_of_both(tmp_path: Path) -> None:
    for rank in range(2):
        write_checkpoint(tmp_path / f"hf_{rank}")
    edit_weights(tmp_path / "hf_1", dropping("model.layers.1.self_attn.k_proj"))
    first, second = _outcomes(tmp_path, tmp_path / "hf", "one rank's directory lacks a tensor")

    assert first[0] == second[0] == "IncompleteCheckpoint"
    assert "as rank 1 says" in first[1]
    assert not (tmp_path / "out" / "qwen3_ms_converted_weight").exists()


@pytest.mark.sweep
def test_nobody_waits_without_end(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    first, second = _outcomes(tmp_path, directory, "rank 0 is stopped", MF_QWEN3_PATCH_WAIT="3")

    assert second[0] == "TimeoutError"
    assert "output_dir must be a directory that all ranks share" in second[1]
    assert "TimeoutError: rank 1 has waited 3 s" in first[1]
