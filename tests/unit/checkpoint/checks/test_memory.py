"""The memory forecast: what a rank holds, and what is free under every limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.checkpoints import QWEN3_14B, TINY, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.memory import forecast_device, forecast_memory, free_host_memory
from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism
from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.checks.rotary_tables import RotaryTables
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.tensors import ModelDims

TABLES = RotaryTables(64, 128, "max_position_embeddings", "max_position_embeddings 64")
BIG = ModelDims(**QWEN3_14B, tie_word_embeddings=False)
ONE = Parallelism()


def test_parameters_are_those_of_the_expected_tensors() -> None:
    for shape in (BIG, ModelDims(**TINY, tie_word_embeddings=True)):
        count = 0
        for dimensions in QWEN3.expected_tensors(shape).values():
            size = 1
            for dimension in dimensions:
                size *= dimension
            count += size
        assert forecast_memory(shape, "bfloat16", ONE, None, TABLES).parameters == count


def test_a_14b_model_takes_twice_as_much_in_float32() -> None:
    half, full = (forecast_memory(BIG, dtype, ONE, None, TABLES) for dtype in ("bfloat16", "float32"))
    assert half.device_per_rank == pytest.approx(29.5e9, rel=0.01)
    assert full.device_per_rank == pytest.approx(2 * half.device_per_rank, rel=0.001)


def test_ranks_share_the_model_and_replicate_scarce_key_value_heads() -> None:
    whole, eight, forty = (forecast_memory(BIG, "bfloat16", Parallelism(ranks), None, TABLES) for ranks in (1, 8, 40))
    assert eight.device_per_rank == pytest.approx(whole.device_per_rank / 8, rel=0.001)
    # 8 key-value heads on 40 ranks: every rank holds one head of each.
    assert forty.device_per_rank > whole.device_per_rank / 40 * 1.05


def test_too_little_memory_is_a_warning_not_a_problem(tmp_path: Path) -> None:
    forecast = forecast_memory(BIG, "bfloat16", ONE, 10 * 10**9, TABLES)
    (host,) = forecast.warnings()
    assert "29.5 GB" in host
    assert "10.0 GB" in host
    result = preflight(write_checkpoint(tmp_path), device_memory=1000)
    assert result.problems == ()
    assert any("max_device_memory" in warning for warning in result.warnings)


def test_free_memory_is_the_tightest_limit(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (cgroups / "job" / "step").mkdir(parents=True)
    assert free_host_memory(proc, cgroups) is None
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (proc / "self" / "cgroup").write_text("0::/job/step\n")
    assert free_host_memory(proc, cgroups) == 8_192_000
    (cgroups / "job" / "step" / "memory.max").write_text("max\n")
    (cgroups / "job" / "step" / "memory.current").write_text("5\n")
    (cgroups / "job" / "memory.max").write_text("1000000\n")
    (cgroups / "job" / "memory.current").write_text("400000\n")
    assert free_host_memory(proc, cgroups) == 600_000


def test_cgroups_of_version_1_count_too(tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("4:memory,cpu:/box\n3:pids:/box\n")
    box = tmp_path / "cgroup" / "memory" / "box"
    box.mkdir(parents=True)
    (box / "memory.limit_in_bytes").write_text("500\n")
    (box / "memory.usage_in_bytes").write_text("600\n")
    assert free_host_memory(tmp_path / "proc", tmp_path / "cgroup") == 0


@pytest.mark.parametrize(("limit_gb", "rest"), [(59, 28.5e9), (29, -3.8e9)])
def test_a_device_holds_parameters_and_key_value_cache(limit_gb: int, rest: float) -> None:
    """Qwen3-14B with stock's cache of 32,768 tokens: 2 * 40 layers * 8 heads * 128 * 2 bytes a token."""
    memory = forecast_memory(BIG, "bfloat16", ONE, None, TABLES)
    budget = forecast_device(BIG, memory, ONE, 32768, "bfloat16", limit_gb << 30)
    assert budget.kv_cache == 32768 * 163_840
    assert budget.rest == pytest.approx(rest, abs=0.3e9)
    assert ("more than the 31.1 GB" in str(budget)) is (rest < 0)


def test_ranks_share_the_key_value_cache_down_to_one_head_each() -> None:
    memory = forecast_memory(BIG, "bfloat16", Parallelism(16), None, TABLES)
    caches = [
        forecast_device(BIG, memory, Parallelism(ranks), 1024, "float16", None).kv_cache for ranks in (1, 4, 8, 16)
    ]
    assert caches == [caches[0], caches[0] // 4, caches[0] // 8, caches[0] // 8]


def test_stages_share_the_layers_and_ranks_the_experts() -> None:
    one, staged = (
        forecast_memory(BIG, "bfloat16", parallelism, None, TABLES) for parallelism in (ONE, Parallelism(pipeline=3))
    )
    vocabularies = 2 * BIG.vocab_size * BIG.hidden_size * 2
    assert staged.parameters == one.parameters
    assert staged.device_per_rank - vocabularies == pytest.approx(
        (one.device_per_rank - vocabularies) * 14 / 40, rel=1e-5
    )
    experts = replace(BIG, num_experts=128, moe_intermediate_size=1536)
    attention = forecast_memory(
        replace(experts, moe_intermediate_size=0), "bfloat16", ONE, None, TABLES
    ).device_per_rank
    whole, shared = (
        forecast_memory(experts, "bfloat16", parallelism, None, TABLES).device_per_rank
        for parallelism in (ONE, Parallelism(data=4, expert=4))
    )
    assert shared - attention == (whole - attention) // 4


def test_stages_share_the_key_value_cache() -> None:
    memory = forecast_memory(BIG, "bfloat16", ONE, None, TABLES)
    one, two = (
        forecast_device(BIG, memory, parallelism, 1024, "float16", None).kv_cache
        for parallelism in (ONE, Parallelism(pipeline=2))
    )
    assert two == one // 2
