"""The values that the tests' quantized checkpoints stand for are those that transformers 5 dequantizes them to."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import TINY_MOE
from tests.support.quantized import KINDS, write_quantized

NEEDED = ("torch", "transformers", "compressed_tensors", "accelerate")


def _lacking() -> bool:
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        return True
    return int(importlib.metadata.version("transformers").partition(".")[0]) < 5


pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(_lacking(), reason=f"needs {', '.join(NEEDED)}, of which transformers 5"),
]


def weights(directory: Path, **options: Any) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, **options).state_dict()


# transformers wants blocks that divide the matrices.
@pytest.mark.parametrize("model", [{}, TINY_MOE], ids=["dense", "experts"])
@pytest.mark.parametrize("kind", ["FP8, blocks, scales in BF16", "FP8, one scale for a tensor"])
def test_fp8(kind: str, model: dict[str, Any], tmp_path: Path) -> None:
    import torch
    from transformers import FineGrainedFP8Config

    quantized, plain = write_quantized(tmp_path, kind, dtype="BF16", **model)
    expected = weights(plain)
    found = weights(quantized, quantization_config=FineGrainedFP8Config(dequantize=True))

    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


# Order by activation is of earlier releases of compressed-tensors.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("compressed") and "act-order" not in kind])
def test_compressed_tensors(kind: str, tmp_path: Path) -> None:
    """The library computes in the dtype of the scales: its values are ours, rounded to that dtype."""
    import torch
    from transformers import CompressedTensorsConfig

    quantized, plain = write_quantized(tmp_path, kind, dtype="BF16")
    rounded = torch.bfloat16 if "FP8" in kind else torch.float16
    expected = weights(plain)
    found = weights(quantized, quantization_config=CompressedTensorsConfig(run_compressed=False))

    assert found.keys() >= expected.keys()
    for name, values in expected.items():
        wanted = values.to(rounded).float() if name.endswith("_proj.weight") else values
        assert torch.equal(wanted, found[name]), name
