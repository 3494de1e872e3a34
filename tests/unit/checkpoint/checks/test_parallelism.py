"""Which numbers of ranks a model can be split over."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.checkpoints import QWEN3_14B, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism, parallel_problems
from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.errors import ConfigMismatch
from mf_qwen3_patch.families.tensors import ModelDims

BIG = ModelDims(**QWEN3_14B, tie_word_embeddings=False)
EXPERTS = ModelDims(  # Qwen3-30B-A3B
    hidden_size=2048,
    vocab_size=151936,
    intermediate_size=6144,
    num_hidden_layers=48,
    num_attention_heads=32,
    num_key_value_heads=4,
    head_dim=128,
    tie_word_embeddings=False,
    num_experts=128,
    moe_intermediate_size=768,
)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_qwen3_14b_splits_over_the_usual_numbers(ranks: int) -> None:
    assert parallel_problems(BIG, Parallelism(ranks)) == []


def test_key_value_heads_are_split_or_replicated_but_not_both() -> None:
    sizes = {"num_attention_heads": 12, "num_key_value_heads": 4, "intermediate_size": 96, "vocab_size": 180}
    shape = ModelDims(hidden_size=80, num_hidden_layers=2, head_dim=32, tie_word_embeddings=False, **sizes)
    (problem,) = parallel_problems(shape, Parallelism(6))
    assert problem.kind is ConfigMismatch
    assert problem.field == "num_key_value_heads"
    assert problem.found == 4
    assert parallel_problems(shape, Parallelism(12)) == []
    assert "1, 2, 4, 12" in str(problem.advice)


def test_a_qwen3_14b_on_eight_ranks_may_have_two_stages() -> None:
    """Sixteen processes, of which sixteen could not share its forty heads."""
    assert parallel_problems(BIG, Parallelism(tensor=8, pipeline=2)) == []
    (problem,) = parallel_problems(BIG, Parallelism(tensor=16))
    assert "num_attention_heads 40" in problem.summary


def test_a_stage_has_at_least_one_layer() -> None:
    (problem,) = parallel_problems(BIG, Parallelism(pipeline=41))
    assert (problem.field, problem.expected, problem.found) == ("num_hidden_layers", "at least 41", 40)


def test_experts_are_shared_out_evenly() -> None:
    (problem,) = parallel_problems(EXPERTS, Parallelism(data=3, expert=3))
    assert (problem.field, problem.expected, problem.found) == ("num_experts", "a multiple of 3", 128)


@pytest.mark.parametrize(
    ("parallelism", "fields"),
    [
        (Parallelism(tensor=4), []),
        (Parallelism(tensor=4, expert=4), []),
        (Parallelism(tensor=2, data=8, expert=16), []),
        (Parallelism(data=128, expert=128), []),
        # Without experts of its own, a rank has a slice of each.
        (Parallelism(data=5), ["moe_intermediate_size"]),
        (Parallelism(data=5, expert=5), ["num_experts"]),
    ],
)
def test_ranks_with_experts_of_their_own_do_not_share_their_matrices(
    parallelism: Parallelism, fields: list[str]
) -> None:
    assert [problem.field for problem in parallel_problems(EXPERTS, parallelism)] == fields


def test_replicated_key_value_heads_are_fine(tmp_path: Path) -> None:
    assert preflight(write_checkpoint(tmp_path), tensor_parallel=4).problems == ()


@pytest.mark.parametrize("ranks", [0, -1, True, 2.0, "2"])
def test_ranks_must_be_a_positive_whole_number(tmp_path: Path, ranks: object) -> None:
    with pytest.raises(ValueError, match="tensor_parallel must be a whole number"):
        preflight(write_checkpoint(tmp_path), tensor_parallel=ranks)  # type: ignore[arg-type]
