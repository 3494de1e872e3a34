"""A stretch of elements, of any length and any bits, becomes what numpy makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mf_qwen3_patch.loading.transfer.cast import SOURCE_DTYPES, TARGET_DTYPES, Bits, cast_between, cast_like_numpy

PAIRS = [(source, target) for source in SOURCE_DTYPES for target in TARGET_DTYPES]


def check(source: str, target: str, bits: Bits) -> None:
    cast = cast_between(source, target)
    assert bits.dtype == cast.source
    before = bits.copy()
    out = bits if cast.convert is None else np.empty(bits.size, cast.target)
    largest = cast.apply(bits, out)

    np.testing.assert_array_equal(bits, before)
    values = before.view(SOURCE_DTYPES[source])
    expected = cast_like_numpy(values, TARGET_DTYPES[target])
    found = out.view(expected.dtype)
    # Which of the many NaN it is, is nobody's business: a tensor with one is refused.
    with np.errstate(invalid="ignore"):
        nan = np.isnan(expected.astype(np.float64))
        np.testing.assert_array_equal(np.isnan(found.astype(np.float64)), nan)
    np.testing.assert_array_equal(out[~nan], expected.view(cast.target)[~nan])
    mask = (1 << 8 * bits.itemsize - 1) - 1
    assert largest == max(int(element) & mask for element in before)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_element_of_two_bytes(source: str, target: str) -> None:
    width = SOURCE_DTYPES[source].itemsize
    if width != 2:
        bits = np.random.default_rng(0).integers(0, 1 << 63, 1 << 14, dtype=np.uint64).view(f"u{width}")
    else:
        bits = np.random.default_rng(0).permutation(1 << 16).astype(np.uint16)
    check(source, target, bits)


@settings(deadline=None)
@given(st.sampled_from(PAIRS), st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=40))
def test_any_few_elements(pair: tuple[str, str], elements: list[int]) -> None:
    width = SOURCE_DTYPES[pair[0]].itemsize
    check(*pair, np.array([element >> 64 - 8 * width for element in elements], f"u{width}"))


@pytest.mark.parametrize("size", [1, 7, 8, 9, 1000])
@pytest.mark.parametrize("element", [0x0000, 0x8000, 0x0001, 0x3F80, 0x47FF, 0xC780, 0x7F7F])
def test_the_same_element_throughout(element: int, size: int) -> None:
    check("BF16", "float16", np.full(size, element, np.uint16))
