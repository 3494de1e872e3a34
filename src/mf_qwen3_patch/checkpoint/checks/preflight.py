"""Foresee whether a load will succeed, from config.json, the index, the file headers, and a few KiB of values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.checkpoint.adapter.merge import merged
from mf_qwen3_patch.checkpoint.checks.biases import without_needless_bias
from mf_qwen3_patch.checkpoint.checks.config_fields import field_mismatches, surplus_layers
from mf_qwen3_patch.checkpoint.checks.inferred_dims import compare
from mf_qwen3_patch.checkpoint.checks.memory import MemoryForecast, forecast_memory, free_host_memory
from mf_qwen3_patch.checkpoint.checks.mixed_shards import mixed_shards
from mf_qwen3_patch.checkpoint.checks.parallelism import ONE_RANK, Parallelism, parallel_problems
from mf_qwen3_patch.checkpoint.checks.rotary_tables import RotaryTables, rotary_tables, tables_problem
from mf_qwen3_patch.checkpoint.checks.swapped_dtypes import swapped_dtypes
from mf_qwen3_patch.checkpoint.checks.tensors import (
    Misfit,
    misfits,
    misshapen_tensors,
    missing_tensors,
    unexpected_tensors,
)
from mf_qwen3_patch.checkpoint.checks.tied_head import tied_head
from mf_qwen3_patch.checkpoint.checks.unsupported import unsupported_kind
from mf_qwen3_patch.checkpoint.config.normalize import NormalizedConfig, normalize
from mf_qwen3_patch.checkpoint.config.overrides import KEYWORD_ARGUMENT, apply_overrides
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES
from mf_qwen3_patch.checkpoint.location.resolve import with_adapter
from mf_qwen3_patch.checkpoint.quantization.dequantize import dequantized
from mf_qwen3_patch.checkpoint.regrouped import regrouped
from mf_qwen3_patch.errors import Problem, error_for
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.tensors import ModelDims
from mf_qwen3_patch.settings import dequantizes


@dataclass(frozen=True)
class Preflight:
    """The answer of :func:`preflight`.

    Attributes:
        checkpoint: What was looked at, open as long as it is needed; quantized weights as what they stand for.
        config: Values for MindFormers' Qwen3Config or Qwen3MoeConfig, the overrides applied.
        dims: The model's dimensions.
        problems: Why a load can't succeed, most important first; empty if it can.
        warnings: What should be known but stops nothing.
        memory: What the model takes, in bytes.
        family: Which of the known models it is.
        tables: The rotary tables that a network with this config has.
        misfits: Tensors that are not loaded since their shape is not the config's, where that is allowed.
    """

    checkpoint: Checkpoint
    config: dict[str, Any]
    dims: ModelDims
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    memory: MemoryForecast
    family: Family
    tables: RotaryTables
    misfits: tuple[Misfit, ...] = ()

    def raise_for_problems(self) -> None:
        """Raise one error with all problems, of the class of the most important one; nothing if there are none."""
        if self.problems:
            raise error_for(self.problems, str(self.checkpoint.directory))


@dataclass(frozen=True)
class CheckOptions:
    """The config that a checkpoint is compared with, and what is allowed; see :func:`preflight`."""

    overrides: Mapping[str, object] = field(default_factory=dict)
    overrides_source: str = KEYWORD_ARGUMENT
    parallelism: Parallelism = ONE_RANK
    dtype: str | None = None
    device_memory: int | None = None
    model_type: str | None = None
    fewer_layers: bool = False
    ignore_mismatched_sizes: bool = False
    dequantize: bool | None = None

    def __post_init__(self) -> None:
        dtype = self.dtype
        if dtype is not None and dtype not in DTYPE_NAMES.values():
            raise ValueError(f"dtype must be one of {', '.join(DTYPE_NAMES.values())}, not {short_repr(dtype)}")


def preflight(
    directory: str | os.PathLike[str] | Directory,
    *,
    adapter: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, object] | None = None,
    overrides_source: str = KEYWORD_ARGUMENT,
    tensor_parallel: int = 1,
    dtype: str | None = None,
    device_memory: int | None = None,
    absent_config: Mapping[str, object] | None = None,
    model_type: str | None = None,
    variant: str | None = None,
    fewer_layers: bool = False,
    ignore_mismatched_sizes: bool = False,
    dequantize: bool | None = None,
) -> Preflight:
    """Check a HuggingFace Qwen3 directory.

    Args:
        directory: With config.json and the weights, or with a LoRA adapter whose adapter_config.json names its base.
        adapter: The directory of a LoRA adapter that is merged into the weights.
        overrides: Config fields that go over config.json's, under HuggingFace's names or MindFormers' aliases
            (``num_layers`` and so on); a value of None counts as not given. Values that agree with the weights are
            fine.
        overrides_source: The name of the overrides in messages, e.g. a YAML's.
        tensor_parallel: Number of ranks that share the model.
        dtype: Of the parameters, e.g. ``"bfloat16"``; by default config.json's, else the weights'.
        device_memory: Bytes that a device has for the model, if known.
        absent_config: What stands in for config.json where the directory has none.
        model_type: The kind of model that it must be, ``qwen3`` or ``qwen3_moe``; by default either.
        variant: Of the weights: ``fp16`` for ``model.fp16.safetensors``.
        fewer_layers: Whether the overrides may ask for fewer layers than the weights have; that is warned of.
        ignore_mismatched_sizes: Whether tensors may have other sizes than the config; they are warned of.
        dequantize: Whether quantized weights are dequantized, if their method is known, and not refused; by default
            they are, unless ``MF_QWEN3_PATCH_DEQUANTIZE=0`` says otherwise.

    Returns:
        Everything found, sound or not.

    Raises:
        IncompleteCheckpoint: The directory itself is not there.
        ValueError: ``tensor_parallel`` is not a positive whole number, ``dtype`` is unknown, or
            ``MF_QWEN3_PATCH_DEQUANTIZE`` is neither 0 nor 1.

    Examples:
        >>> found = mf_qwen3_patch.preflight("/data/Qwen3-8B", tensor_parallel=2)
        >>> found.raise_for_problems()
    """
    options = CheckOptions(
        overrides or {},
        overrides_source,
        Parallelism(tensor_parallel),
        dtype,
        device_memory,
        model_type,
        fewer_layers,
        ignore_mismatched_sizes,
        dequantize,
    )
    with open_checkpoint(with_adapter(directory, adapter), absent_config=absent_config, variant=variant) as checkpoint:
        return check(checkpoint, options)


def check(checkpoint: Checkpoint, options: CheckOptions, config: NormalizedConfig | None = None) -> Preflight:
    """Check an open checkpoint with HuggingFace's names; ``config`` is its config.json, if it is normalized already."""
    if dequantizes(options.dequantize):
        checkpoint = dequantized(checkpoint)
    config = config or normalize(checkpoint.config, family=checkpoint.family)
    overridden = apply_overrides(config, options.overrides, options.overrides_source)
    config = overridden.config
    checkpoint = regrouped(checkpoint, config.family, config.dims)
    checkpoint = merged(checkpoint, config.family, tied=config.dims.tie_word_embeddings)
    kind = unsupported_kind(checkpoint, options.model_type, tied=config.dims.tie_word_embeddings)
    problems, warnings = [*([kind] if kind else []), *checkpoint.problems], list(checkpoint.warnings)
    dims, tables = config.dims, rotary_tables(config.values)
    left_out: tuple[Misfit, ...] = ()
    # Of another kind of model, or without its config, nothing below would say more than that.
    if checkpoint.config_read and not kind:
        warnings += config.warnings
        # Without any tensor the files' own problems say why, if there are any.
        if checkpoint.tensors or not checkpoint.problems:
            compared = compare(checkpoint, overridden)
            problems += without_needless_bias(config.problems, compared)
            left_out = misfits(compared) if options.ignore_mismatched_sizes else ()
            surplus = surplus_layers(compared) if options.fewer_layers else []
            problems += field_mismatches(compared, sizes=not options.ignore_mismatched_sizes, layers=not surplus)
            problems += missing_tensors(compared)
            if not options.ignore_mismatched_sizes:
                problems += misshapen_tensors(compared)
            unexpected, ignored = unexpected_tensors(compared)
            ambiguous, untied = tied_head(compared, options.overrides, options.overrides_source)
            problems += [*unexpected, *ambiguous]
            warnings += [*ignored, *untied, *surplus, *_about(left_out)]
            dims = dims if surplus or left_out else compared.dims
        else:
            problems += config.problems
        problems += parallel_problems(dims, options.parallelism)
        problems += filter(None, [tables_problem(tables)])
    dtype = options.dtype or parameter_dtype(checkpoint, config)
    memory = forecast_memory(dims, dtype, options.parallelism, free_host_memory(), tables)
    if not problems:
        warnings += memory.warnings(options.device_memory)
        warnings += [*mixed_shards(checkpoint), *swapped_dtypes(checkpoint)]
    return Preflight(
        checkpoint,
        config.values,
        config.dims,
        tuple(problems),
        tuple(warnings),
        memory,
        config.family,
        tables,
        left_out,
    )


def _about(left_out: Sequence[Misfit]) -> list[str]:
    if not left_out:
        return []
    first = "; ".join(str(misfit) for misfit in left_out[:5])
    more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    warning = (
        f"{len(left_out)} tensor(s) have another size than the config asks for and are not loaded, as "
        f"ignore_mismatched_sizes allows; their parameters start anew: {first}{more}"
    )
    return [warning]


def parameter_dtype(checkpoint: Checkpoint, config: NormalizedConfig) -> str:
    """Return the dtype that the parameters get by default: the config's, else that of the largest tensor."""
    declared = config.values.get("params_dtype", config.values.get("torch_dtype"))
    if declared in DTYPE_NAMES.values():
        return str(declared)
    largest = max(checkpoint.tensors.values(), key=lambda info: info.nbytes, default=None)
    return "bfloat16" if largest is None else DTYPE_NAMES.get(largest.dtype, "bfloat16")
