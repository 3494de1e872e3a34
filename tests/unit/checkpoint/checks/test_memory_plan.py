"""Planning a device's memory, against numbers worked out by hand for Qwen3-14B."""

from __future__ import annotations

import pytest
from tests.support.checkpoints import QWEN3_14B

from mf_qwen3_patch.checkpoint.checks.memory_plan import plan_memory
from mf_qwen3_patch.checkpoint.checks.rotary_tables import RotaryTables
from mf_qwen3_patch.families.tensors import ModelDims

GIB = 1 << 30
TABLES = RotaryTables(64, 128, "max_position_embeddings", "max_position_embeddings 64")
BIG = ModelDims(**QWEN3_14B, tie_word_embeddings=False)


@pytest.mark.parametrize(("ranks", "heads"), [(1, 8), (2, 4), (8, 1)])
def test_a_token_takes_a_key_and_a_value_of_each_layer_and_head_of_the_rank(ranks: int, heads: int) -> None:
    plan = plan_memory(BIG, "bfloat16", ranks, 40_000, 64 * GIB, TABLES)

    assert plan.cache_per_token == 2 * 40 * heads * 128 * 2
    assert plan.budget.kv_cache == plan.cache_per_token * 40_000


def test_the_cache_is_never_smaller_than_stocks() -> None:
    plan = plan_memory(BIG, "bfloat16", 1, 1, 64 * GIB, TABLES)

    assert plan.budget.tokens == 32_768
    assert plan.budget.kv_cache == 5_368_709_120


@pytest.mark.parametrize(
    ("gib", "fitting"),
    # 14.77 billion parameters of 2 bytes are 27.5 GiB, the cache 5 GiB; both are halved with each doubling.
    [(64, (1, 2, 4, 8)), (33, (1, 2, 4, 8)), (32, (2, 4, 8)), (16, (4, 8)), (8, (8,)), (2, ())],
)
def test_the_numbers_of_ranks_that_fit(gib: int, fitting: tuple[int, ...]) -> None:
    plan = plan_memory(BIG, "bfloat16", 2, 1, gib * GIB, TABLES)

    assert plan.fitting == fitting
    assert plan.fits is (2 in fitting)
    assert plan.budget.parameters + plan.budget.kv_cache + (plan.budget.rest or 0) == gib * GIB
