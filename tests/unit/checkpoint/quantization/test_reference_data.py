"""Dequantized weights are those of the libraries that define the formats, bit for bit."""

from __future__ import annotations

import importlib.util
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import quantization_oracle
from tests.support.processes import ROOT

from mf_qwen3_patch.checkpoint.files.safetensors_header import inspect_header
from mf_qwen3_patch.checkpoint.quantization.dequantize import METHODS
from mf_qwen3_patch.checkpoint.quantization.method import QuantizedLayer
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import Encoding
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile, open_file

FILES = sorted((ROOT / "tests" / "reference_data" / "quantized").glob("*.safetensors"))


def encoding_of(file: CheckpointFile) -> tuple[Encoding, np.ndarray]:
    """Return how the layer of a file is stored, and the weight that it stands for."""
    header = inspect_header(file)
    assert header.problems == ()
    config = json.loads(header.metadata["quantization_config"])
    parts = {name.removeprefix("layer."): info for name, info in header.tensors.items() if name.startswith("layer.")}
    expected = header.tensors["expected"]
    values = np.frombuffer(file.read(expected.offset, expected.nbytes), np.float32).reshape(expected.shape)
    method = METHODS[config["quant_method"]].of(config)
    return method.encoding(QuantizedLayer("model.layers.0.mlp.up_proj", parts)), values


def bits(values: np.ndarray) -> np.ndarray:
    return values.view(np.uint32)


def test_there_is_a_file_for_each_case() -> None:
    assert [file.stem for file in FILES] == sorted(quantization_oracle.CASES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_whole_weight_is_the_librarys(path: Path) -> None:
    with closing(open_file(path)) as file:
        encoding, expected = encoding_of(file)
        rows, columns = (range(size) for size in encoding.shape)
        found = encoding.read(lambda _: file, rows, columns).values(0, len(rows))

    assert np.array_equal(bits(found), bits(expected))


@pytest.mark.parametrize("rows", [range(32), range(5, 6), range(8, 24), range(13, 31)], ids=str)
@pytest.mark.parametrize("columns", [range(64), range(63, 64), range(32, 64), range(7, 41)], ids=str)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_any_rectangle_is_that_of_the_whole(path: Path, rows: range, columns: range) -> None:
    with closing(open_file(path)) as file:
        encoding, expected = encoding_of(file)
        rectangle = encoding.read(lambda _: file, rows, columns)
        halves = [rectangle.values(0, len(rows) // 2), rectangle.values(len(rows) // 2, len(rows))]

    wanted = expected[rows.start : rows.stop, columns.start : columns.stop]
    assert np.array_equal(bits(np.concatenate(halves)), bits(np.ascontiguousarray(wanted)))


@pytest.mark.oracle
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in quantization_oracle.SOURCES),
    reason=f"needs {', '.join(quantization_oracle.SOURCES)}",
)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_libraries_still_say_so(path: Path) -> None:
    layer: Any = quantization_oracle.CASES[path.stem]()
    with closing(open_file(path)) as file:
        encoding, expected = encoding_of(file)
        tensor = encoding.codes.tensor
        stored = file.read(tensor.offset, tensor.nbytes)

    part = tensor.name.removeprefix("layer.")
    import torch

    assert layer.parts[part].contiguous().view(torch.uint8).numpy().tobytes() == stored
    assert np.array_equal(bits(layer.weight.numpy()), bits(expected))
