"""Makes LoRA adapters of checkpoints, as PEFT saves them, and what the merged model holds; numpy only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import Tensors, decode, edit_weights, encode, read_safetensors, write_safetensors

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
PROJECTIONS = r".*_proj"


def write_adapter(
    directory: Path, base: Path, pattern: str = PROJECTIONS, *, rank: int = 4, dtype: str = "F32", **settings: Any
) -> dict[str, np.ndarray]:
    """Write an adapter of the modules of a base that match; return their merged weights, in float32.

    Factors are sixteenths, of which products and their sums are exact in whatever order.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "bias": "none", **settings}
    config = {"base_model_name_or_path": str(base), "target_modules": pattern, "task_type": "CAUSAL_LM", **config}
    (directory / CONFIG).write_text(json.dumps(config, indent=2))
    generator, factors, expected = np.random.default_rng(0), {}, {}
    for name, raw in sorted(all_tensors(base).items()):
        module = name.removesuffix(".weight")
        if len(raw.shape) != 2 or not re.fullmatch(pattern, module):
            continue
        rows, columns = raw.shape
        first, second = (generator.integers(-16, 17, shape) / 16 for shape in ((rank, columns), (rows, rank)))
        factors[f"{PREFIX}{module}.lora_A.weight"] = encode(first, dtype)
        factors[f"{PREFIX}{module}.lora_B.weight"] = encode(second, dtype)
        delta = (second @ first).astype(np.float32) * np.float32(config["lora_alpha"] / rank)
        expected[name] = decode(raw) + delta
    write_safetensors(directory / WEIGHTS, factors)
    return expected


def merge_into(directory: Path, expected: Mapping[str, np.ndarray], dtype: str = "F32") -> None:
    """Put merged weights into a checkpoint."""
    edit_weights(directory, lambda tensors: tensors.update({key: encode(expected[key], dtype) for key in expected}))


def all_tensors(directory: Path) -> Tensors:
    """Return the tensors of all files of a checkpoint."""
    files = sorted(directory.glob("model*.safetensors"))
    return {name: raw for file in files for name, raw in read_safetensors(file).items()}


def edit_adapter(directory: Path, change: Callable[[Tensors], object]) -> None:
    """Change the tensors of an adapter."""
    tensors = read_safetensors(directory / WEIGHTS)
    change(tensors)
    write_safetensors(directory / WEIGHTS, tensors)


def edit_adapter_config(directory: Path, **changes: Any) -> None:
    """Change the settings of an adapter."""
    config = json.loads((directory / CONFIG).read_text())
    (directory / CONFIG).write_text(json.dumps(config | changes))
