"""Which numbers of tensor-parallel ranks a model can be split over."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.checkpoints import QWEN3_14B, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.checks.tensor_parallel import tensor_parallel_problems
from mf_qwen3_patch.errors import ConfigMismatch
from mf_qwen3_patch.families.tensors import ModelDims

BIG = ModelDims(**QWEN3_14B, tie_word_embeddings=False)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_qwen3_14b_splits_over_the_usual_numbers(ranks: int) -> None:
    assert tensor_parallel_problems(BIG, ranks) == []


def test_key_value_heads_are_split_or_replicated_but_not_both() -> None:
    sizes = {"num_attention_heads": 12, "num_key_value_heads": 4, "intermediate_size": 96, "vocab_size": 180}
    shape = ModelDims(hidden_size=80, num_hidden_layers=2, head_dim=32, tie_word_embeddings=False, **sizes)
    (problem,) = tensor_parallel_problems(shape, 6)
    assert problem.kind is ConfigMismatch
    assert problem.field == "num_key_value_heads"
    assert problem.found == 4
    assert tensor_parallel_problems(shape, 12) == []
    assert "1, 2, 4, 12" in str(problem.advice)


def test_replicated_key_value_heads_are_fine(tmp_path: Path) -> None:
    assert preflight(write_checkpoint(tmp_path), tensor_parallel=4).problems == ()


@pytest.mark.parametrize("ranks", [0, -1, True, 2.0, "2"])
def test_ranks_must_be_a_positive_whole_number(tmp_path: Path, ranks: object) -> None:
    with pytest.raises(ValueError, match="tensor_parallel must be a whole number"):
        preflight(write_checkpoint(tmp_path), tensor_parallel=ranks)  # type: ignore[arg-type]
