"""The rotary tables, which a config alone makes large: forecast, and refused where no device has room for them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.checkpoints import TINY_MOE, edit_config, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.checks.rotary_tables import rotary_tables, tables_problem

GIB = 1 << 30
LENGTH = "max_position_embeddings"


def test_qwen3s_own_tables_are_small() -> None:
    tables = rotary_tables({LENGTH: 40960, "head_dim": 128, "rope_scaling": None})
    assert tables.kept(2) == 2 * 40960 * 128 * 2
    assert tables.peak == 40960 * 128 * 22
    assert tables_problem(tables) is None


def test_yarn_has_a_row_for_each_position_of_the_longer_context() -> None:
    scaling = {"original_max_position_embeddings": 32768, "factor": 4.0}
    tables = rotary_tables({LENGTH: 40960, "head_dim": 128, "rope_scaling": scaling})
    assert tables.positions == 131072
    assert tables.advice == "set rope_scaling to what the model's original config.json has"


def test_tables_count_in_the_forecast(tmp_path: Path) -> None:
    short = preflight(write_checkpoint(tmp_path / "short", dtype="BF16"))
    long = preflight(write_checkpoint(tmp_path / "long", dtype="BF16", max_position_embeddings=10**7))
    assert short.problems == long.problems == ()
    more = 10**7 - 512
    assert long.memory.host - short.memory.host == more * 32 * 22
    assert long.memory.device_per_rank - short.memory.device_per_rank == more * 32 * 2 * 2


def test_tables_without_room_on_this_host_or_its_devices_are_named_in_the_warning(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, max_position_embeddings=10**9)
    found = preflight(directory, device_memory=64 * GIB)
    (device,) = (warning for warning in found.warnings if "max_device_memory" in warning)
    assert "the rotary tables alone (max_position_embeddings 1000000000) take 704.0 GB on each rank" in device
    assert "set max_position_embeddings to the longest sequence that you need" in device


@pytest.mark.parametrize("overridden", [False, True])
def test_tables_that_no_device_has_room_for_are_refused(overridden: bool, tmp_path: Path) -> None:
    length = 2**31 - 1
    directory = write_checkpoint(tmp_path, **({} if overridden else {LENGTH: length}))
    (problem,) = preflight(directory, overrides={LENGTH: length} if overridden else None).problems
    assert problem.field == LENGTH
    assert f"rotary tables of {length} positions" in problem.summary
    assert problem.expected == f"at most {(1 << 40) // (32 * 22)} positions"
    assert preflight(directory, overrides={LENGTH: 4096}).problems == ()


def test_so_is_a_factor_of_yarn_that_makes_them_too_large(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path)
    scaling = {"rope_type": "yarn", "factor": 1e9, "original_max_position_embeddings": 512}
    edit_config(directory, rope_scaling=scaling)
    (problem,) = preflight(directory).problems
    assert problem.field == "rope_scaling"
    assert "original_max_position_embeddings 512 x factor 1e+09" in problem.summary


@pytest.mark.parametrize("value", [10**6, 2**31 - 2, 10**30])
@pytest.mark.parametrize("experts", [False, True])
def test_no_size_in_a_config_alone_costs_time_or_memory(experts: bool, value: int, tmp_path: Path) -> None:
    """What else sizes a network is in the weights, which contradict it."""
    fields = [
        "hidden_size",
        "vocab_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
    ]
    fields += ["num_experts", "num_experts_per_tok", "moe_intermediate_size"] if experts else ["intermediate_size"]
    directory = write_checkpoint(tmp_path, **(TINY_MOE if experts else {}))
    before = (directory / "config.json").read_text(encoding="utf-8")
    started = time.perf_counter()
    for field in fields:
        (directory / "config.json").write_text(before, encoding="utf-8")
        edit_config(directory, **{field: value})
        assert field in {problem.field for problem in preflight(directory).problems}
    assert time.perf_counter() - started < 10
