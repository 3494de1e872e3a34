"""The reference data are what the installed release of transformers says today; both of its generations are asked."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from tests.support import oracle
from tests.support.processes import ROOT
from tests.support.readings import MAX_NEW_TOKENS, REFERENCE, Source, every_source, prompts_of, readings

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch (extra `oracle`)"),
]

MICRO = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
EXPECTED = sorted((REFERENCE / "expected").glob("*.json"))
TOLERANCE = 1e-4


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_tokens_and_logits(path: Path) -> None:
    expected = json.loads(path.read_text(encoding="utf-8"))
    directory = MICRO if path.stem == MICRO.name else REFERENCE / "checkpoints" / path.stem
    continuations = oracle.run(directory, expected["prompts"], expected["max_new_tokens"])

    assert [continuation.tokens for continuation in continuations] == expected["tokens"]
    found = [continuation.logits for continuation in continuations]
    np.testing.assert_allclose(found, np.load(path.with_suffix(".npz"))["logits"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("source", every_source(), ids=lambda source: source.name)
def test_readings(source: Source, tmp_path: Path) -> None:
    from transformers import __version__

    recorded = readings(int(__version__.partition(".")[0]))[source.name]
    directory = source.directory(tmp_path)
    assert oracle.read(directory, prompts_of(source.base), MAX_NEW_TOKENS, **source.options) == recorded
