"""Merging and splitting parts in both layouts, against the rows written down one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mf_qwen3_patch.families.layout import (
    INFERENCE,
    TRAINING,
    Fusion,
    StridedCopy,
    layout_metadata,
    strided_copies,
    whole,
)
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.qwen3_moe import QWEN3_MOE
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


def fusion_of(target: str, layout: str, parts: list[np.ndarray], dims: ModelDims = SHAPE) -> Fusion:
    family = QWEN3_MOE if dims.num_experts else QWEN3
    fused = next(fused for fused in family.fused if fused.target == target)
    return fused.layout(layout, [part.shape for part in parts], dims)  # type: ignore[arg-type]


def copy(regions: Iterable[StridedCopy], source: np.ndarray, target: np.ndarray) -> None:
    """Carry copies out, element by element."""
    source, target = source.reshape(-1), target.reshape(-1)
    for region in regions:
        for row in range(region.rows):
            for column in range(region.columns):
                to = region.target + row * region.target_strides[0] + column * region.target_strides[1]
                target[to] = source[region.source + row * region.source_stride + column]


def merge(fusion: Fusion, parts: list[np.ndarray], experts: int = 1) -> np.ndarray:
    """Merge the same parts, in a stack for each expert."""
    merged = np.full(fusion.shape, "?", "<U12")
    for expert in range(experts):
        for number, part in enumerate(parts):
            place = fusion.placement(number, expert)
            copy(strided_copies(whole(part.shape), place, *_sides(part)), part, merged)
    return merged


def split(fusion: Fusion, merged: np.ndarray, number: int, expert: int = 0) -> np.ndarray:
    shape = fusion.parts[number]
    part = np.full(shape, "?", "<U12")
    copy(strided_copies(fusion.placement(number, expert), whole(shape), *_sides(part)), merged, part)
    return part


def _sides(part: np.ndarray) -> tuple[int, int]:
    return part.shape[0], math.prod(part.shape[1:])


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (INFERENCE, "q0 q1 q2 q3 q4 q5 q6 q7 k0 k1 k2 k3 v0 v1 v2 v3"),
        (TRAINING, "q0 q1 q2 q3 k0 k1 v0 v1 q4 q5 q6 q7 k2 k3 v2 v3"),
    ],
)
def test_query_key_value(layout: str, expected: str) -> None:
    parts = [rows("q", 8), rows("k", 4), rows("v", 4)]
    assert merge(fusion_of("linear_qkv", layout, parts), parts)[:, 0].tolist() == expected.split()


@pytest.mark.parametrize(("layout", "expected"), [(INFERENCE, "g0 g1 g2 u0 u1 u2"), (TRAINING, "g0 u0 g1 u1 g2 u2")])
def test_gate_up(layout: str, expected: str) -> None:
    parts = [rows("g", 3), rows("u", 3)]
    assert merge(fusion_of("linear_fc1", layout, parts), parts)[:, 0].tolist() == expected.split()


@pytest.mark.parametrize(("layout", "shape"), [(INFERENCE, (5, 2, 6)), (TRAINING, (10, 6))])
def test_gate_up_of_an_expert(layout: str, shape: tuple[int, ...]) -> None:
    """As the columns of a matrix, one after the other in either layout; only the training layout stacks by rows."""
    gate, up = np.array([["g00", "g01"], ["g10", "g11"], ["g20", "g21"]]), np.full((3, 2), "u")
    fusion = fusion_of("weight1", layout, [gate, up], replace(SHAPE, num_experts=5))
    merged = merge(fusion, [gate, up], experts=5)
    assert merged.shape == shape
    matrices = merged.reshape(5, 2, 6).tolist()
    assert matrices == [[["g00", "g10", "g20", *"uuu"], ["g01", "g11", "g21", *"uuu"]]] * 5


@pytest.mark.parametrize("layout", [INFERENCE, TRAINING])
def test_what_is_one_tensor_stays_as_it_is(layout: str) -> None:
    norm = np.array(["a", "b", "c"])
    fusion = Fusion((norm.shape,))
    assert fusion.shape == (3,)
    assert merge(fusion, [norm]).tolist() == norm.tolist()
    assert split(fusion, norm, 0).tolist() == norm.tolist()


@given(
    blocks=st.integers(1, 6),
    heights=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    columns=st.integers(1, 4),
    experts=st.integers(0, 3),
    flat=st.booleans(),
)
def test_splitting_is_the_inverse_of_merging(
    blocks: int, heights: list[int], columns: int, experts: int, flat: bool
) -> None:
    generator = np.random.default_rng(0)
    parts = [generator.integers(0, 1000, (blocks * height, columns)).astype(str) for height in heights]
    fusion = Fusion(tuple(part.shape for part in parts), 1 if experts else blocks, experts, flat)
    merged = merge(fusion, parts, max(experts, 1))
    assert "?" not in merged
    for expert in range(max(experts, 1)):
        for number, part in enumerate(parts):
            assert split(fusion, merged, number, expert).tolist() == part.tolist()


@given(st.data())
def test_any_rectangle_of_a_part_comes_out_of_either_layout(data: st.DataObject) -> None:
    """The slices of ranks are such rectangles; they may begin and end inside a block."""
    blocks, heights = data.draw(st.integers(1, 4)), data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=3))
    columns = data.draw(st.integers(1, 4))
    parts = [
        np.array([[f"{n} {r} {c}" for c in range(columns)] for r in range(blocks * height)])
        for n, height in enumerate(heights)
    ]
    fusion = Fusion(tuple(part.shape for part in parts), blocks)
    merged = merge(fusion, parts)
    number = data.draw(st.integers(0, len(parts) - 1))
    part = parts[number]
    first_row, first_column = (data.draw(st.integers(0, size - 1)) for size in part.shape)
    count = data.draw(st.integers(1, part.shape[0] - first_row))
    width = data.draw(st.integers(1, columns - first_column))
    cut = np.full((count, width), "?", "<U12")
    source = fusion.placement(number)
    regions = list(
        strided_copies(source, whole(cut.shape), count, width, first_row=first_row, first_column=first_column)
    )
    copy(regions, merged, cut)
    assert cut.tolist() == part[first_row : first_row + count, first_column : first_column + width].tolist()
    assert sum(region.elements for region in regions) == count * width


def test_files_of_a_rank_say_whose_they_are() -> None:
    assert layout_metadata(TRAINING) == {"mf_qwen3_patch.layout": "training"}
    assert layout_metadata(INFERENCE, rank=1, ranks=2) == {
        "mf_qwen3_patch.layout": "inference",
        "mf_qwen3_patch.tensor_parallel": "2",
        "mf_qwen3_patch.rank": "1",
    }
