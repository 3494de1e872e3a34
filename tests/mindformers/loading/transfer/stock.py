"""The stock network and its own loader, for any rank of any number of ranks, without the processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindformers.parallel_core.inference import parallel_state
from mindformers.parallel_core.inference.model_utils import InferModelMixin
from tests.support.checkpoints import read_json

from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.files.checkpoint import open_checkpoint
from mf_qwen3_patch.checkpoint.quantization.dequantize import dequantized
from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.loading.runtime.context import ensure_inference_context
from mf_qwen3_patch.loading.runtime.network import build_config, build_model, network_parameters
from mf_qwen3_patch.loading.runtime.virtual_rank import as_rank
from mf_qwen3_patch.loading.transfer.assign import assigned
from mf_qwen3_patch.loading.transfer.loader import LoadStats, read_parameters
from mf_qwen3_patch.loading.transfer.plan import Plan
from mf_qwen3_patch.loading.transfer.planner import plan
from mf_qwen3_patch.loading.transfer.verify import Verification
from mf_qwen3_patch.loading.transfer.verify import verify as verify_plan

__all__ = [
    "as_process",
    "as_rank",
    "bits",
    "build",
    "differences",
    "load_with_shim",
    "load_with_stock",
    "plan_for",
    "verify",
]

_NOT_FOR_MINDFORMERS = ("torch_dtype", "transformers_version", "quantization_config")


@contextmanager
def as_process(number: int, *, tensor: int = 1, pipeline: int = 1, data: int = 1, expert: int = 1) -> Iterator[None]:
    """Let stock share a model out as in one of several processes: its own groups, but nobody to communicate with."""

    def create(group: parallel_state.ProcessGroup) -> None:
        group._is_group_created = True

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in vars(parallel_state) if name.startswith("_") and name.isupper()]:
            patch.setattr(parallel_state, name, None)
        patch.setattr(parallel_state, "_is_initialized", lambda: True)
        patch.setattr(parallel_state, "get_rank", lambda: number)
        patch.setattr(parallel_state, "get_group_size", lambda: tensor * pipeline * data)
        patch.setattr(parallel_state.ProcessGroup, "create_this_group", create)
        parallel_state.initialize_model_parallel(tensor, data, pipeline, expert)
        yield


def build(directory: Path, params_dtype: str = "float32", **overrides: Any) -> Any:
    """Build the network that config.json describes; its parameters hold nothing."""
    ensure_inference_context()
    config = read_json(directory / "config.json")
    values = {name: value for name, value in config.items() if name not in _NOT_FOR_MINDFORMERS}
    # Stock has no defaults for what a map of yarn leaves out.
    values["rope_scaling"] = normalize(config).values["rope_scaling"]
    values |= {"params_dtype": params_dtype, "compute_dtype": "float32", "seq_length": 128}
    family = FAMILIES[config["model_type"]]
    return build_model(build_config(values | overrides, family), family)


def load_with_stock(model: Any, directory: Path) -> None:
    """Load by stock's own loader, whatever is patched."""
    InferModelMixin.load_weights(model, str(directory))


def plan_for(model: Any, directory: Path) -> Plan:
    """Plan to load a sound directory; quantized weights as what they stand for."""
    checkpoint = dequantized(open_checkpoint(directory))
    assert checkpoint.problems == ()
    return plan(model, checkpoint.tensors, FAMILIES[model.config.model_type])


def load_with_shim(model: Any, directory: Path, **options: Any) -> tuple[Plan, LoadStats]:
    """Plan and load."""
    loading = plan_for(model, directory)
    with open_checkpoint(directory) as checkpoint:
        arrays, stats = read_parameters(loading, checkpoint.file, **options)
        with assigned(network_parameters(model), arrays):
            return loading, stats


def verify(model: Any, loading: Plan, stats: LoadStats, *, strict: bool = False) -> Verification:
    """Verify what was planned and loaded."""
    directory = loading.parameters[0].copies[0].tensor.file.parent
    with open_checkpoint(directory) as checkpoint:
        return verify_plan(model, loading, stats, checkpoint.file, strict=strict)


def bits(model: Any) -> dict[str, np.ndarray]:
    """Return what every parameter holds, as unsigned integers; on an unloaded model this fills it with zeros."""
    arrays = {name: parameter.asnumpy() for name, parameter in network_parameters(model).items()}
    return {name: array.view(f"u{array.itemsize}") for name, array in arrays.items()}


def differences(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return the parameters that differ in presence, shape, dtype or any bit, and how."""
    result = dict.fromkeys(expected.keys() ^ found.keys(), "only in one model")
    for name in expected.keys() & found.keys():
        one, other = expected[name], found[name]
        if one.shape != other.shape or one.dtype != other.dtype:
            result[name] = f"{one.shape} {one.dtype} and {other.shape} {other.dtype}"
        elif not np.array_equal(one, other):
            result[name] = f"{np.count_nonzero(one != other)} of {one.size} values differ"
    return result
