"""Merging and splitting parts in both layouts, against the rows written down one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mf_qwen3_patch.families.layout import (
    INFERENCE,
    TRAINING,
    Merging,
    layout_metadata,
    merging_of,
)
from mf_qwen3_patch.families.tensors import ModelDims

SHAPE = ModelDims(
    hidden_size=8,
    vocab_size=10,
    intermediate_size=3,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=2,
    tie_word_embeddings=False,
)


def rows(name: str, count: int) -> np.ndarray:
    """Rows that tell where they come from."""
    return np.array([[f"{name}{row}"] for row in range(count)])


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (INFERENCE, "q0 q1 q2 q3 q4 q5 q6 q7 k0 k1 k2 k3 v0 v1 v2 v3"),
        (TRAINING, "q0 q1 q2 q3 k0 k1 v0 v1 q4 q5 q6 q7 k2 k3 v2 v3"),
    ],
)
def test_query_key_value(layout: str, expected: str) -> None:
    parts = [rows("q", 8), rows("k", 4), rows("v", 4)]
    merged = merging_of("linear_qkv", layout, SHAPE).merge(parts)  # type: ignore[arg-type]
    assert merged[:, 0].tolist() == expected.split()


@pytest.mark.parametrize(("layout", "expected"), [(INFERENCE, "g0 g1 g2 u0 u1 u2"), (TRAINING, "g0 u0 g1 u1 g2 u2")])
def test_gate_up(layout: str, expected: str) -> None:
    merged = merging_of("linear_fc1", layout, SHAPE).merge([rows("g", 3), rows("u", 3)])  # type: ignore[arg-type]
    assert merged[:, 0].tolist() == expected.split()


@pytest.mark.parametrize(("layout", "shape"), [(INFERENCE, (5, 2, 6)), (TRAINING, (10, 6))])
def test_gate_up_of_an_expert(layout: str, shape: tuple[int, ...]) -> None:
    """As the columns of a matrix, one after the other in either layout; only the training layout stacks by rows."""
    gate, up = np.array([["g00", "g01"], ["g10", "g11"], ["g20", "g21"]]), np.full((3, 2), "u")
    merging = merging_of("weight1", layout, SHAPE, experts=True)  # type: ignore[arg-type]
    assert merging.merge([gate, up]).tolist() == [["g00", "g10", "g20", *"uuu"], ["g01", "g11", "g21", *"uuu"]]
    assert merging.parameter_shape(merging.matrix_shape([gate.shape, up.shape]), 5) == shape


@pytest.mark.parametrize("layout", [INFERENCE, TRAINING])
def test_what_is_one_tensor_stays_as_it_is(layout: str) -> None:
    merging = merging_of(None, layout, SHAPE)  # type: ignore[arg-type]
    norm = np.arange(3)
    assert merging.merge([norm]) is norm
    assert merging.split(norm, [3])[0] is norm
    assert merging.parameter_shape(merging.matrix_shape([(3,)]), 1) == (3,)


@given(
    blocks=st.integers(1, 6),
    heights=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    columns=st.integers(1, 4),
    experts=st.booleans(),
)
def test_splitting_is_the_inverse_of_merging(blocks: int, heights: list[int], columns: int, experts: bool) -> None:
    generator = np.random.default_rng(0)
    parts = [generator.integers(0, 1000, (blocks * height, columns)) for height in heights]
    merging = Merging(blocks, experts)
    merged = merging.merge(parts)
    assert merged.shape == merging.matrix_shape([part.shape for part in parts])
    found = merging.split(merged, [len(part) for part in parts])
    assert [part.tolist() for part in found] == [part.tolist() for part in parts]
    assert all(array.flags.c_contiguous for array in (merged, *found))


def test_files_of_a_rank_say_whose_they_are() -> None:
    assert layout_metadata(TRAINING) == {"mf_qwen3_patch.layout": "training"}
    assert layout_metadata(INFERENCE, rank=1, ranks=2) == {
        "mf_qwen3_patch.layout": "inference",
        "mf_qwen3_patch.tensor_parallel": "2",
        "mf_qwen3_patch.rank": "1",
    }
