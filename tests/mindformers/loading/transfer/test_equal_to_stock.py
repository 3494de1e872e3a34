"""Every parameter of every rank is what stock's own loader makes it, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.mindformers.loading.transfer.stock import (
    as_rank,
    bits,
    build,
    differences,
    load_with_shim,
    load_with_stock,
)
from tests.support.checkpoints import Raw, Tensors, edit_weights, write_checkpoint

from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint

# Queries per key/value head 1, 2, 4 and 8; head_dim larger, equal and smaller than hidden_size / heads.
SHAPES: dict[str, dict[str, Any]] = {
    "every head its own key": {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 20},
    "two queries a key": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32},
    "four queries a key": {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16},
    "one key for all": {"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 8, "hidden_size": 72},
}


@pytest.mark.parametrize("target", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("source", ["BF16", "F16", "F32"])
def test_every_dtype_becomes_what_stock_makes_of_it(source: str, target: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", dtype=source)
    edit_weights(directory, lambda tensors: _every_finite_value(tensors, source))
    stock, shim = build(directory, target), build(directory, target)
    load_with_stock(stock, directory)
    with np.errstate(all="ignore"):
        load_with_shim_quietly(shim, directory)

    assert differences(bits(stock), bits(shim)) == {}


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_rank_holds_what_stock_gives_it(shape: str, tie: bool, ranks: int, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", dtype="BF16", tie=tie, shards=3, **SHAPES[shape])
    for rank in range(ranks):
        with as_rank(rank, ranks):
            stock, shim = build(directory), build(directory)
            load_with_stock(stock, directory)
            load_with_shim(shim, directory)

        assert differences(bits(stock), bits(shim)) == {}, f"rank {rank} of {ranks}"


def test_ranks_share_heads_when_there_are_fewer_than_ranks(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", num_attention_heads=8, num_key_value_heads=2, head_dim=16)
    queries, rows = 8 // 4 * 16, []
    for rank in range(4):
        with as_rank(rank, 4):
            model = build(directory)
            load_with_shim(model, directory)
        rows.append(bits(model)["decoder.layers.1.self_attention.linear_qkv.weight"][queries:])

    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[2], rows[3])
    assert not np.array_equal(rows[0], rows[2])


def test_each_rank_reads_its_own_slices_only(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", dtype="BF16")
    tensors = open_checkpoint(directory).tensors.values()
    whole = sum(tensor.nbytes for tensor in tensors)
    replicated = sum(tensor.nbytes for tensor in tensors if len(tensor.shape) == 1)
    for rank in range(2):
        with as_rank(rank, 2):
            loading, stats = load_with_shim(build(directory), directory)

        assert stats.bytes_read == loading.bytes_to_read == replicated + (whole - replicated) // 2


def test_float64_is_rounded_once_and_to_float32_as_stock_does(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    edit_weights(directory, _to_float64)
    stock, shim, half = build(directory), build(directory), build(directory, "float16")
    load_with_stock(stock, directory)
    load_with_shim(shim, directory)
    load_with_shim(half, directory)

    assert differences(bits(stock), bits(shim)) == {}
    tensor = open_checkpoint(directory).tensors["model.layers.0.mlp.down_proj.weight"]
    values = np.fromfile(tensor.file, np.float64, tensor.nbytes // 8, offset=tensor.offset)
    found = bits(half)["decoder.layers.0.mlp.linear_fc2.weight"]
    assert np.array_equal(found.reshape(-1), values.astype(np.float16).view(np.uint16))


def load_with_shim_quietly(model: Any, directory: Path) -> None:
    """The values include such as overflow in float16, of which the shim warns."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_with_shim(model, directory)


def _every_finite_value(tensors: Tensors, dtype: str) -> None:
    """Fill the weights with bit patterns from the whole range: subnormal, halfway, too large; no NaN or infinity."""
    generator = np.random.default_rng(7)
    width, infinity = {"BF16": (2, 0x7F80), "F16": (2, 0x7C00), "F32": (4, 0x7F800000)}[dtype]
    special = np.concatenate([_around_powers_of_two(width, infinity), np.arange(3)])
    for name, raw in tensors.items():
        count = len(raw.data) // width
        magnitude = generator.integers(0, infinity, count)
        chosen = generator.random(count) < 0.5
        magnitude[chosen] = generator.choice(special, int(chosen.sum()))
        sign = generator.integers(0, 2, count) << (8 * width - 1)
        data = (magnitude | sign).astype(f"u{width}").tobytes()
        tensors[name] = Raw(dtype, raw.shape, data)


def _around_powers_of_two(width: int, infinity: int) -> np.ndarray:
    """Where rounding to fewer bits is decided: exponents with mantissas at and beside the halves."""
    mantissa_bits = 23 if width == 4 else (7 if infinity == 0x7F80 else 10)
    exponents = np.arange(0, infinity, 1 << mantissa_bits)
    mantissas = [0, 1, (1 << mantissa_bits) - 1]
    if width == 4:
        mantissas += [half + odd + near for half in (1 << 12, 1 << 15) for odd in (0, 2 * half) for near in (-1, 0, 1)]
    return (exponents[:, None] | np.array(mantissas)[None]).reshape(-1)


def _to_float64(tensors: Tensors) -> None:
    for name, raw in tensors.items():
        values = np.frombuffer(raw.data, np.float32).astype(np.float64) * (1 + 2.0**-30)
        tensors[name] = Raw("F64", raw.shape, values.tobytes())
