"""The memory that a load will take, and the memory that is free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism
from mf_qwen3_patch.checkpoint.checks.rotary_tables import RotaryTables
from mf_qwen3_patch.families.tensors import ModelDims

_ELEMENT_BYTES: Mapping[str, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
_NORM_BYTES = 4  # MindFormers keeps RMSNorm weights, and routers, in float32


@dataclass(frozen=True, slots=True)
class MemoryForecast:
    """Bytes of parameters and rotary tables; the KV cache, activations and the frameworks themselves come on top."""

    parameters: int  # their number in the whole model
    dtype: str  # assumed for the parameters (norms are float32)
    device_per_rank: int  # bytes that each rank holds on its device
    host: int  # bytes that all ranks together need in host memory while loading on one machine, without devices
    host_free: int | None  # bytes, by /proc/meminfo and cgroup limits; None if unknown
    device_peak: int  # bytes that each rank needs there at most until it is loaded
    tables: str = ""  # how many of them the rotary tables need, if it is most

    def warnings(self, device_memory: int | None = None) -> list[str]:
        """Say where the forecast exceeds what is free, or what a device has for the model, in bytes."""
        found = []
        if self.host_free is not None and self.host > self.host_free:
            found.append(
                f"loading needs about {_gb(self.host)} of host memory in {self.dtype}, but only "
                f"{_gb(self.host_free)} are free{self.tables}"
            )
        if device_memory is not None and self.device_peak > device_memory:
            found.append(
                f"each rank needs {_gb(self.device_peak)} of device memory for {self.dtype} parameters, "
                f"but max_device_memory is {_gb(device_memory)}{self.tables or ': use more tensor-parallel ranks'}"
            )
        return found


def forecast_memory(
    shape: ModelDims, dtype: str, parallelism: Parallelism, host_free: int | None, tables: RotaryTables
) -> MemoryForecast:
    """Predict the memory of the parameters and the rotary tables, which are taken to have the parameters' dtype.

    Projections, embedding and head are split over the tensor-parallel ranks, experts over the data-parallel ones, too;
    norms are held by every rank of a stage, and key and value heads are replicated where there are fewer of them than
    ranks.
    """
    element = _ELEMENT_BYTES[dtype]
    query, key_value = (heads * shape.head_dim for heads in (shape.num_attention_heads, shape.num_key_value_heads))
    vocabularies = (1 if shape.tie_word_embeddings else 2) * shape.vocab_size * shape.hidden_size
    # Of one layer:
    split, experts = 2 * query * shape.hidden_size, 3 * shape.num_experts * shape.moe_intermediate_size
    experts *= shape.hidden_size
    split += 0 if shape.num_experts else 3 * shape.intermediate_size * shape.hidden_size
    key_values = 2 * key_value * shape.hidden_size
    # Routers are as norms: whole on every rank, and in float32.
    norms = 2 * (shape.hidden_size + shape.head_dim) + shape.num_experts * shape.hidden_size
    of_all_layers = shape.num_hidden_layers * (split + experts + key_values + norms)
    layers, tensor = parallelism.layers_of_a_stage(shape.num_hidden_layers), parallelism.tensor
    replicas = max(1, tensor // shape.num_key_value_heads)
    per_rank = (vocabularies + layers * (split + key_values * replicas)) * element // tensor
    per_rank += layers * experts * element // (tensor * parallelism.data)
    per_rank += (layers * norms + shape.hidden_size) * _NORM_BYTES
    cause = f"; the rotary tables alone ({tables.said}) take {_gb(tables.peak)} on each rank: {tables.advice}"
    return MemoryForecast(
        parameters=vocabularies + of_all_layers + shape.hidden_size,
        dtype=dtype,
        device_per_rank=per_rank + tables.kept(element),
        # What the computation of the tables has taken is free again when the parameters come.
        device_peak=max(per_rank + tables.kept(element), tables.peak),
        host=(per_rank + tables.peak) * parallelism.ranks,
        host_free=host_free,
        tables=cause if tables.peak > per_rank else "",
    )


@dataclass(frozen=True, slots=True)
class DeviceBudget:
    """The bytes that a rank's device holds while the model generates."""

    parameters: int  # with the rotary tables
    kv_cache: int
    tokens: int  # that the cache has room for, over all sequences of a batch
    limit: int | None  # bytes that MindSpore may take of the device; None if unknown

    @property
    def rest(self) -> int | None:
        """Bytes that are left for activations and everything else; negative if there are none."""
        return None if self.limit is None else self.limit - self.parameters - self.kv_cache

    def __str__(self) -> str:
        """Return it as a line for the log."""
        line = f"{_gb(self.parameters)} of parameters, {_gb(self.kv_cache)} of key/value cache for {self.tokens} tokens"
        if self.limit is None or self.rest is None:
            return line
        line += f": {_gb(-self.rest)} more than" if self.rest < 0 else f", {_gb(self.rest)} for the rest of"
        return f"{line} the {_gb(self.limit)} that MindSpore may take of the device"


def forecast_device(
    dims: ModelDims,
    memory: MemoryForecast,
    parallelism: Parallelism,
    tokens: int,
    compute_dtype: str,
    limit: int | None,
) -> DeviceBudget:
    """Predict what generation takes of a rank's device.

    The cache has a key and a value per layer, token (``num_blocks * block_size``) and key-value head of the rank, in
    the dtype of computation; where there are fewer heads than ranks, every rank has one.
    """
    heads = max(1, dims.num_key_value_heads // parallelism.tensor)
    layers = parallelism.layers_of_a_stage(dims.num_hidden_layers)
    cache = 2 * layers * tokens * heads * dims.head_dim * _ELEMENT_BYTES[compute_dtype]
    return DeviceBudget(memory.device_per_rank, cache, tokens, limit)


def free_host_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that this process can still take: the tightest of machine and cgroup (v1 or v2) limits.

    None where the system does not tell (not Linux).
    """
    limits = [*_meminfo(proc / "meminfo"), *_cgroup_limits(proc / "self" / "cgroup", cgroups)]
    return min(limits, default=None)


def _meminfo(path: Path) -> list[int]:
    return [int(kilobytes) * 1024 for kilobytes in re.findall(r"(?m)^MemAvailable:\s*(\d+)", _text(path))]


def _cgroup_limits(membership: Path, root: Path) -> list[int]:
    """Return what is left under every limit from this process' cgroup up to the root."""
    limits: list[int] = []
    for line in _text(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":
            base, limit, usage = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            base, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        parts = [part for part in group.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            directory = base.joinpath(*parts[:depth])
            allowed, used = _text(directory / limit).strip(), _text(directory / usage).strip()
            if allowed.isdigit() and used.isdigit():
                limits.append(max(0, int(allowed) - int(used)))
    return limits


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
