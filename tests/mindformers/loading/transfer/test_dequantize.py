"""Quantized checkpoints: every parameter of every rank is what the values that they stand for make it, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.mindformers.loading.transfer.stock import as_rank, bits, build, differences, load_with_shim, verify
from tests.support.checkpoints import TINY_MOE
from tests.support.quantized import KINDS, write_quantized

from mf_qwen3_patch.loading.transfer import plan, worker
from mf_qwen3_patch.loading.transfer import verify as verification

MODELS: dict[str, dict[str, Any]] = {"dense": {}, "experts": TINY_MOE}


@pytest.mark.sweep
@pytest.mark.parametrize("target", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_rank_holds_the_dequantized_values(kind: str, model: str, target: str, tmp_path: Path) -> None:
    quantized, plain = write_quantized(tmp_path, kind, dtype="BF16", shards=3, **MODELS[model])
    for rank, ranks in ((0, 1), (0, 2), (1, 2), (3, 4)):
        with as_rank(rank, ranks):
            expected, found = build(plain, target), build(quantized, target)
            load_with_shim(expected, plain)
            loading, stats = load_with_shim(found, quantized)
            proof = verify(found, loading, stats, strict=True)

        assert differences(bits(expected), bits(found)) == {}, f"rank {rank} of {ranks}"
        assert stats.bytes_read == loading.bytes_to_read
        assert proof.rows_compared == proof.rows


@pytest.mark.sweep
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_smaller_than_a_matrix_are_put_where_they_belong(
    kind: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized, plain = write_quantized(tmp_path, kind, **MODELS[model])
    expected, found = build(plain), build(quantized)
    load_with_shim(expected, plain)
    monkeypatch.setattr(plan, "_PIECE_BYTES", 3000)
    monkeypatch.setattr(worker, "_CHUNK_BYTES", 1000)
    monkeypatch.setattr(verification, "_BLOCK_ELEMENTS", 200)
    loading, stats = load_with_shim(found, quantized, threads=3)

    assert differences(bits(expected), bits(found)) == {}
    assert stats.bytes_read == loading.bytes_to_read
    assert verify(found, loading, stats, strict=True).strict
