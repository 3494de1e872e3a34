"""Makes quantized checkpoints of the tiny ones, method by method, in the most straightforward way; numpy only.

Each method returns what it stores for one weight, and the values that this stands for, computed element by element
without looking at the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import Raw, Tensors, decode, edit_config, edit_weights, encode

Stored = dict[str, Raw]
Quantizer = Callable[[np.ndarray], tuple[Stored, np.ndarray]]

# Every finite float8_e4m3fn value, by its byte; written out by the definition in the OCP specification.
E4M3 = np.array(
    [
        (-1.0 if byte & 0x80 else 1.0)
        * ((byte & 7) * 2.0**-9 if (byte & 0x78) == 0 else (8 + (byte & 7)) * 2.0 ** (((byte >> 3) & 15) - 10))
        if (byte & 0x7F) != 0x7F
        else np.nan
        for byte in range(256)
    ],
    np.float32,
)


def to_e4m3(values: np.ndarray) -> np.ndarray:
    """Return the byte of the nearest finite float8_e4m3fn of each value."""
    finite = np.flatnonzero(np.isfinite(E4M3))
    order = finite[np.argsort(E4M3[finite], kind="stable")]
    ladder = E4M3[order]
    place = np.clip(np.searchsorted(ladder, values), 1, len(ladder) - 1)
    nearer = np.abs(values - ladder[place - 1]) <= np.abs(ladder[place] - values)
    return order[place - nearer].astype(np.uint8)


def fp8_blocks(block: tuple[int, int] = (16, 32), scale_dtype: str = "F32") -> Quantizer:
    """Return FP8 with a scale for each block, as Qwen's and DeepSeek's FP8 checkpoints have it."""

    def quantize(weight: np.ndarray) -> tuple[Stored, np.ndarray]:
        rows, columns = weight.shape
        grid = np.empty((-(-rows // block[0]), -(-columns // block[1])), np.float32)
        for row in range(grid.shape[0]):
            for column in range(grid.shape[1]):
                part = weight[row * block[0] : (row + 1) * block[0], column * block[1] : (column + 1) * block[1]]
                grid[row, column] = np.abs(part).max() / 448
        scales = encode(grid, scale_dtype)
        grid = decode(scales)
        codes, values = np.empty(weight.shape, np.uint8), np.empty(weight.shape, np.float32)
        for row in range(rows):
            for column in range(columns):
                scale = grid[row // block[0], column // block[1]]
                codes[row, column] = to_e4m3(weight[row, column] / scale)
                values[row, column] = np.float32(E4M3[codes[row, column]]) * scale
        return {"weight": Raw("F8_E4M3", weight.shape, codes.tobytes()), "weight_scale_inv": scales}, values

    return quantize


def quantize_checkpoint(
    directory: Path, quantizer: Quantizer, config: Mapping[str, Any], *, plain: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Quantize the projections of a checkpoint in place; return the values that the quantized weights stand for.

    Projections with one of the words of ``plain`` in their name stay as they are.
    """
    expected: dict[str, np.ndarray] = {}

    def change(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            if not any(word in name for word in plain):
                layer = name.removesuffix("weight")
                stored, expected[name] = quantizer(decode(tensors.pop(name)))
                tensors.update({layer + part: raw for part, raw in stored.items()})

    edit_weights(directory, change)
    edit_config(directory, quantization_config=dict(config))
    return expected
