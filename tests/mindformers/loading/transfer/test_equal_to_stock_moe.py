"""Experts: every parameter of every rank is what stock's own loader makes it, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.mindformers.loading.transfer.stock import (
    as_rank,
    bits,
    build,
    differences,
    load_with_shim,
    load_with_stock,
    verify,
)
from tests.support.checkpoints import TINY_MOE, write_checkpoint

from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.errors import LoadNotProven
from mf_qwen3_patch.families.qwen3_moe import QWEN3_MOE
from mf_qwen3_patch.loading.pretrained import load_weights
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer import worker

WEIGHT1, WEIGHT2 = (f"decoder.layers.1.mlp.experts.weight{number}" for number in (1, 2))


def moe(directory: Path, **options: object) -> Path:
    return write_checkpoint(directory, **TINY_MOE, **options)


@pytest.mark.parametrize("target", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("source", ["BF16", "F16", "F32"])
def test_every_dtype_becomes_what_stock_makes_of_it(source: str, target: str, tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf", dtype=source)
    stock, shim = build(directory, target), build(directory, target)
    load_with_stock(stock, directory)
    load_with_shim(shim, directory)

    assert differences(bits(stock), bits(shim)) == {}


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
def test_every_rank_holds_what_stock_gives_it(tie: bool, ranks: int, tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf", dtype="BF16", tie=tie, shards=3)
    for rank in range(ranks):
        with as_rank(rank, ranks):
            stock, shim = build(directory), build(directory)
            load_with_stock(stock, directory)
            plan, stats = load_with_shim(shim, directory)
            proof = verify(shim, plan, stats, strict=True)

        assert differences(bits(stock), bits(shim)) == {}, f"rank {rank} of {ranks}"
        assert proof.rows_compared == proof.rows


def test_pieces_smaller_than_a_matrix_are_put_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for matrices larger than a chunk; rows must not be cut apart, even where one is larger than a chunk."""
    directory = moe(tmp_path / "hf", dtype="BF16")
    stock = build(directory)
    load_with_stock(stock, directory)
    for chunk in (100, 1000):
        monkeypatch.setattr(worker, "_CHUNK_BYTES", chunk)
        monkeypatch.setattr("mf_qwen3_patch.loading.transfer.plan._PIECE_BYTES", 3 * chunk)
        for ranks in (1, 2):
            with as_rank(0, ranks):
                shim, expected = build(directory), build(directory)
                load_with_stock(expected, directory)
                load_with_shim(shim, directory)
            assert differences(bits(expected), bits(shim)) == {}, f"chunks of {chunk} bytes, {ranks} ranks"


def test_each_rank_reads_its_own_slices_only(tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf", dtype="BF16")
    tensors = open_checkpoint(directory).tensors
    whole = sum(tensor.nbytes for tensor in tensors.values())
    replicated = sum(
        tensor.nbytes for name, tensor in tensors.items() if len(tensor.shape) == 1 or name.endswith("mlp.gate.weight")
    )
    for rank in range(2):
        with as_rank(rank, 2):
            loading, stats = load_with_shim(build(directory), directory)

        assert stats.bytes_read == loading.bytes_to_read == replicated + (whole - replicated) // 2


@pytest.mark.parametrize("name", [WEIGHT1, WEIGHT2])
def test_the_proof_sees_what_is_wrong_with_one_expert(name: str, tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf")
    for spoil in (_two_swapped, _one_not_transposed, _one_value):
        model = build(directory)
        plan, stats = load_with_shim(model, directory)
        spoil(network_parameters(model)[name].asnumpy())

        with pytest.raises(LoadNotProven, match=rf"{name} does not hold .*experts\.[0-9]\."):
            verify(model, plan, stats, strict=spoil is _one_value)


def test_the_report_counts_them(tmp_path: Path) -> None:
    directory = moe(tmp_path / "hf")
    report = load_weights(build(directory), directory, family=QWEN3_MOE)

    assert report.fused == {"linear_qkv": 2, "experts.weight1": 2, "experts.weight2": 2}
    assert report.verification is not None
    assert report.verification.slices == report.tensors == len(open_checkpoint(directory).tensors)


def _two_swapped(values: np.ndarray) -> None:
    values[[2, 3]] = values[[3, 2]]


def _one_not_transposed(values: np.ndarray) -> None:
    rows, columns = values.shape[1:]
    values[4] = values[4].T.reshape(rows, columns).copy()


def _one_value(values: np.ndarray) -> None:
    values[5, 7, 3] += 1
