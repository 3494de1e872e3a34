"""Matrices of packed integers: any rectangle of any of them, against packing written out."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quantized import E4M3, pack_rows, transposed

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.quantization.stored_matrix import StoredMatrix, to_float32
from mf_qwen3_patch.checkpoint.reading.read_file import open_file


@st.composite
def spans(draw: st.DrawFn, size: int) -> range:
    start = draw(st.integers(0, size - 1))
    return range(start, draw(st.integers(start + 1, size)))


@given(
    data=st.data(),
    bits=st.sampled_from([4, 8]),
    axis=st.sampled_from([0, 1]),
    rows=st.integers(1, 20),
    words=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_rectangle_of_packed_integers(
    data: st.DataObject, bits: int, axis: int, rows: int, words: int, seed: int
) -> None:
    per = 32 // bits
    order = tuple(data.draw(st.permutations(range(per))))
    codes = np.random.default_rng(seed).integers(0, 2**bits, (rows, words * per))
    raw = pack_rows(codes, bits, order)
    if axis == 0:
        raw, codes = transposed(raw), codes.T
    wanted_rows, wanted_columns = (data.draw(spans(size)) for size in codes.shape)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "words"
        path.write_bytes(b"before" + raw.data)
        matrix = StoredMatrix(TensorInfo("x", "I32", raw.shape, path, 6, len(raw.data)), bits, axis, order)
        with closing(open_file(path)) as file:
            found = matrix.read(lambda _: file, wanted_rows, wanted_columns)

    assert matrix.shape == codes.shape
    assert np.array_equal(
        found, codes[wanted_rows.start : wanted_rows.stop, wanted_columns.start : wanted_columns.stop]
    )
    assert matrix.nbytes(*map(range, codes.shape)) == len(raw.data)


def test_every_float8_e4m3fn_is_what_its_specification_says() -> None:
    found = to_float32(np.arange(256, dtype=np.uint8), "F8_E4M3")

    assert np.array_equal(found.view(np.uint32)[np.isfinite(E4M3)], E4M3.view(np.uint32)[np.isfinite(E4M3)])
    assert np.flatnonzero(np.isnan(found)).tolist() == [0x7F, 0xFF]
    assert np.nanmax(found) == 448


def test_every_float8_e8m0fnu_is_a_power_of_two() -> None:
    found = to_float32(np.arange(256, dtype=np.uint8), "F8_E8M0")

    assert [float(found[byte]) for byte in (0, 1, 126, 127, 128, 254)] == [2.0**-127, 2.0**-126, 0.5, 1, 2, 2.0**127]
    assert np.isnan(found[255])


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "I8", "I32"])
def test_plain_numbers_become_their_float32(dtype: str) -> None:
    stored = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "I8": np.int8, "I32": np.int32}[dtype]
    values = np.array([0x3F80, 0xC000], np.uint16) if dtype == "BF16" else np.array([1, -2], stored)

    assert to_float32(values, dtype).tolist() == [1, -2]
