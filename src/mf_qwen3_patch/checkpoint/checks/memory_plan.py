"""Plan of a device's memory from headers alone: parameters, cache and rest of each rank, and how many ranks fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mf_qwen3_patch.checkpoint.checks.memory import DeviceBudget, forecast_device, forecast_memory
from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism, possible_ranks
from mf_qwen3_patch.checkpoint.checks.rotary_tables import RotaryTables
from mf_qwen3_patch.families.tensors import ModelDims

DEFAULT_TOKENS = 32 * 1024
"""Tokens of MindFormers' default key/value cache: block_size 32, num_blocks 1024."""

_MOST_RANKS = 64


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of each rank's device while the model generates; bytes.

    Attributes:
        tensor_parallel: The number of ranks that was asked for.
        budget: What each of them takes.
        cache_per_token: Key and value of one token on each of them.
        fitting: The numbers of ranks, up to 64, on which the model fits.
    """

    tensor_parallel: int
    budget: DeviceBudget
    cache_per_token: int
    fitting: tuple[int, ...]

    @property
    def fits(self) -> bool:
        """Whether something is left for activations on the ranks that were asked for."""
        return self.tensor_parallel in self.fitting

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-compatible values."""
        return {
            "fits": self.fits,
            "tensor_parallel": self.tensor_parallel,
            "device_bytes": self.budget.limit,
            "parameter_bytes": self.budget.parameters,
            "cache_bytes": self.budget.kv_cache,
            "cache_tokens": self.budget.tokens,
            "cache_bytes_per_token": self.cache_per_token,
            "rest_bytes": self.budget.rest,
            "fitting_tensor_parallel": list(self.fitting),
        }


def plan_memory(
    dims: ModelDims, dtype: str, tensor_parallel: int, tokens: int, limit: int, tables: RotaryTables
) -> MemoryPlan:
    """Plan the memory for parameters and key/value cache in ``dtype``.

    Args:
        dims: The model.
        dtype: Of parameters and computation.
        tensor_parallel: The number of ranks.
        tokens: Of all sequences of a batch; below the default cache, that is what MindFormers takes.
        limit: Bytes of each device.
        tables: The model's rotary tables.
    """
    tokens = max(tokens, DEFAULT_TOKENS)
    budgets = {}
    for ranks in {*possible_ranks(dims), tensor_parallel}:
        parallelism = Parallelism(ranks)
        memory = forecast_memory(dims, dtype, parallelism, None, tables)
        budgets[ranks] = forecast_device(dims, memory, parallelism, tokens, dtype, limit)
    fitting = [ranks for ranks in possible_ranks(dims) if ranks <= _MOST_RANKS and (budgets[ranks].rest or 0) > 0]
    if tables.peak > limit:
        fitting = []
    budget = budgets[tensor_parallel]
    return MemoryPlan(tensor_parallel, budget, budget.kv_cache // tokens, tuple(fitting))
