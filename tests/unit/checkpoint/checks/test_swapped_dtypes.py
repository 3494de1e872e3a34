"""Bytes of float16 that are called bfloat16, and the reverse: warned of, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import (
    decode,
    edit_config,
    encode,
    read_safetensors,
    weight_files,
    write_checkpoint,
    write_safetensors,
)

from mf_qwen3_patch.checkpoint.checks.preflight import preflight

Values = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

OTHER = {"F16": "BF16", "BF16": "F16"}
# What HuggingFace begins with, whatever the shape (initializer_range 0.02), and what else matrices are like.
MATRICES: dict[str, Values] = {
    "initial": lambda random, shape: random.normal(0, 0.02, shape),
    "initial, narrow": lambda random, shape: random.normal(0, 0.002, shape),
    "embeddings of PyTorch's own": lambda random, shape: random.normal(0, 1, shape),
    "uniform": lambda random, shape: random.uniform(-0.05, 0.05, shape),
    "Laplace": lambda random, shape: random.laplace(0, 0.02, shape),
    "heavy tails": lambda random, shape: np.clip(random.standard_t(1, shape) * 0.02, -60000, 60000),
    "half zero": lambda random, shape: random.normal(0, 0.02, shape) * (random.random(shape) < 0.5),
    "dequantized": lambda random, shape: np.clip(np.round(random.normal(0, 2.5, shape)), -8, 7) * 0.01,
}
# What no swap of dtypes explains.
ODD: dict[str, Values] = {
    "one magnitude": lambda random, shape: np.sign(random.normal(0, 1, shape)) * 0.75,
    "dead columns": lambda random, shape: random.normal(0, 0.02, shape) * np.where(random.random(shape) < 0.4, 1e-5, 1),
    "zero": lambda random, shape: np.zeros(shape),
}


def _refill(directory: Path, values: Values, dtype: str) -> None:
    random = np.random.default_rng(1)
    for path in weight_files(directory):
        tensors = read_safetensors(path)
        for name, raw in tensors.items():
            if len(raw.shape) > 1:
                tensors[name] = encode(values(random, raw.shape), dtype)
        write_safetensors(path, tensors)


def _swap(path: Path) -> None:
    """Give every tensor of a file the other dtype; its bytes stay."""
    write_safetensors(
        path, {name: replace(raw, dtype=OTHER[raw.dtype]) for name, raw in read_safetensors(path).items()}
    )


def _about_dtypes(directory: Path) -> list[str]:
    found = preflight(directory)
    assert found.problems == ()
    return [warning for warning in found.warnings if "calls its tensors" in warning]


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
@pytest.mark.parametrize("matrices", MATRICES)
def test_swapped_dtypes_are_warned_of_and_right_ones_are_not(matrices: str, dtype: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, dtype=dtype)
    _refill(directory, MATRICES[matrices], dtype)
    assert _about_dtypes(directory) == []

    _swap(directory / "model.safetensors")

    if dtype == "F16" and matrices == "embeddings of PyTorch's own":
        assert _about_dtypes(directory) == []  # a documented limit: read as bfloat16 their median is not absurd
        return
    (warning,) = _about_dtypes(directory)
    assert warning.startswith("model.safetensors calls its tensors")
    assert "16 of the 16 matrices" in warning
    assert "download model.safetensors again" in warning


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
@pytest.mark.parametrize("matrices", ODD)
def test_odd_matrices_are_not_mistaken_for_swapped_ones(matrices: str, dtype: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, dtype=dtype)
    _refill(directory, ODD[matrices], dtype)
    assert _about_dtypes(directory) == []


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_a_trained_model_is_told_from_its_swapped_copy(dtype: str, tmp_path: Path) -> None:
    tensors = read_safetensors(Path(str(files("mf_qwen3_patch"))) / "micro_qwen3" / "model.safetensors")
    config = (Path(str(files("mf_qwen3_patch"))) / "micro_qwen3" / "config.json").read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    edit_config(tmp_path, torch_dtype={"BF16": "bfloat16", "F16": "float16"}[dtype])
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {name: encode(decode(raw), dtype) for name, raw in tensors.items()})
    assert _about_dtypes(tmp_path) == []

    _swap(path)

    assert len(_about_dtypes(tmp_path)) == 1


def test_the_file_at_fault_is_named(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, dtype="BF16", shards=3)
    _swap(directory / "model-00002-of-00003.safetensors")
    (warning,) = _about_dtypes(directory)
    assert warning.startswith("model-00002-of-00003.safetensors calls its tensors float16")
