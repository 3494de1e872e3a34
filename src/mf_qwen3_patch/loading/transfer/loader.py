"""The fast loader: each byte is read once, into its place in a buffer that becomes a Parameter's memory.

Nothing is assigned to the network before everything has been read and found sound, so that an error, a
full disk or Ctrl-C leaves the network as it was. Until then the loaded memory is only the
buffers that become the Parameters' own: the peak is the parameters' size, a chunk per thread and what is in flight.
(On Ascend MindSpore uploads a Parameter when the device first needs it, whenever it was set: assigning one by one
would not lower the peak there either.)
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.quantization.quantized_tensor import QuantizedTensor
from mf_qwen3_patch.checkpoint.reading.read_file import CheckpointFile, Files
from mf_qwen3_patch.errors import InvalidValues, some
from mf_qwen3_patch.loading.runtime.log import warn
from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, Array, cast_between, cast_like_numpy, not_finite
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, Plan
from mf_qwen3_patch.loading.transfer.read_requests import pieces_of
from mf_qwen3_patch.loading.transfer.reading import Reading, account, open_disk
from mf_qwen3_patch.loading.transfer.worker import Findings, PieceLoader, WorkShared, work
from mf_qwen3_patch.ranks import is_first_rank
from mf_qwen3_patch.settings import thread_count

_PROGRESS_SECONDS = 0.1


@dataclass(frozen=True)
class LoadStats:
    """Account of what a load did and saw.

    ``casts`` counts the tensors of each dtype change, ``{"BF16->float32": 443}``, ``dequantized`` those that were
    quantized, ``{"FP8->bfloat16": 252}``, ``merged`` those that an adapter changed; ``overflowed`` a tensor's finite
    values that became infinite by the cast. What was read of ``zero_tensors`` is all zero, or becomes zero by the cast.
    All values that were read are checked for NaN, infinity and zero. ``written`` is in the network's order. ``reading``
    is None where one thread has read everything as the system gave it.
    """

    bytes_read: int
    seconds: float
    threads: int
    casts: Mapping[str, int]
    dequantized: Mapping[str, int] = field(default_factory=dict)
    merged: Mapping[str, int] = field(default_factory=dict)
    overflowed: Mapping[str, int] = field(default_factory=dict)
    zero_tensors: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    values_checked: int = 0
    warnings: tuple[str, ...] = ()
    reading: Reading | None = None


def read_parameters(
    plan: Plan,
    files: Callable[[Path], CheckpointFile],
    *,
    threads: int | None = None,
    ranks: int = 1,
    progress: bool = True,
    initializer_range: float = 0.02,
) -> tuple[dict[str, Array], LoadStats]:
    """Read what ``plan`` says, of a model that so many ``ranks`` load at the same time; no network is touched.

    Returns an array for each parameter, in its shape and dtype, and what was done. Warns (``CheckpointWarning``) of
    finite values that the cast made infinite. The progress bar is shown on rank 0 only, and if stderr is a terminal.

    NaN or infinity in the checkpoint raises ``InvalidValues``, a file that can't be read or ends too early
    ``CorruptCheckpoint``. After either of them, and after Ctrl-C, no thread reads or writes any more.
    """
    started = time.perf_counter()
    count = thread_count(threads)
    pieces = pieces_of(plan.parameters)
    arrays = {
        entry.name: np.empty(entry.shape, TARGET_DTYPES[entry.dtype])
        if entry.copies
        else _initial_values(entry, initializer_range)
        for entry in plan.parameters
    }
    buffers = {name: array.reshape(-1).view(f"u{array.itemsize}") for name, array in arrays.items()}
    paths, parameter_bytes = {copy.tensor.file for _, copy in pieces}, sum(array.nbytes for array in arrays.values())
    disk, reads = open_disk(files, paths, workers=count, parameter_bytes=ranks * parameter_bytes)
    shared = WorkShared(deque(pieces), buffers, disk)
    shown = progress and is_first_rank() and sys.stderr is not None and sys.stderr.isatty()
    with tqdm(total=plan.bytes_to_read, desc="Loading weights", unit="B", unit_scale=True, disable=not shown) as bar:
        _work(shared, max(count, reads), bar)
    refuse_invalid(plan.parameters, shared.findings)
    reading = account(
        disk,
        reads=reads,
        workers=count,
        seconds=time.perf_counter() - started,
        cast_seconds=shared.findings.cast_seconds,
        bytes_read=shared.findings.bytes_read,
    )
    return arrays, _stats(plan, shared.findings, count, started, reading)


def read_parameter(entry: ParameterPlan, loader: PieceLoader, findings: Findings) -> Array:
    """Read one parameter, in its shape and dtype, without a thread of its own; ``findings`` takes what is seen."""
    array = np.empty(entry.shape, TARGET_DTYPES[entry.dtype])
    buffer = array.reshape(-1).view(f"u{array.itemsize}")
    for piece in pieces_of([entry]):
        findings.add(piece[1].tensor.name, *loader.load(piece, buffer))
    return array


def scan_values(plan: Plan, files: Files) -> LoadStats:
    """Look at every value as ``read_parameters`` does, and keep none; for what MindFormers' own loader writes."""
    started = time.perf_counter()
    loader, findings = PieceLoader(files), Findings()
    for entry in plan.parameters:
        read_parameter(entry, loader, findings)
    refuse_invalid(plan.parameters, findings)
    return _stats(plan, findings, 1, started)


def _initial_values(entry: ParameterPlan, initializer_range: float) -> Array:
    """Return ones for a norm, else normally distributed values, as transformers does; by MindSpore's seed, if any."""
    if len(entry.shape) == 1:
        values = np.ones(entry.shape, np.float32)
    else:
        values = np.random.default_rng(mindspore.get_seed()).standard_normal(entry.shape, np.float32)
        values *= np.float32(initializer_range)
    return cast_like_numpy(values, TARGET_DTYPES[entry.dtype])


def _work(shared: WorkShared, threads: int, bar: Any) -> None:
    # Leaving the pool waits for its threads, which end within one chunk once stop is set.
    with ThreadPoolExecutor(threads, thread_name_prefix="mf_qwen3_patch-load") as pool:
        try:
            # The pool does not know a thread during whose start Ctrl-C came: none works before all are known.
            pending = {pool.submit(work, shared) for _ in range(threads)}
            shared.go.set()
            while pending:
                done, pending = wait(pending, _PROGRESS_SECONDS, FIRST_EXCEPTION)
                bar.update(shared.findings.bytes_read - bar.n)
                if (from_disk := shared.disk.use.disk_bytes) is not None:
                    bar.set_postfix_str(f"{from_disk / 1e9:.2f} GB from the disk", refresh=False)
                for future in done:
                    future.result()
        except BaseException:
            shared.stop.set()
            shared.go.set()
            raise


def refuse_invalid(parameters: Iterable[ParameterPlan], findings: Findings) -> None:
    """Raise ``InvalidValues`` if NaN or infinity was seen in a tensor that parameters are made of."""
    homes = {copy.tensor.name: (copy.tensor, entry) for entry in parameters for copy in entry.copies}
    problems = []
    for name, (tensor, entry) in homes.items():
        seen = findings.tensors[name]
        if seen.nan or seen.infinite:
            found = f"{seen.nan} NaN and {seen.infinite} infinite of {prod(tensor.shape)} values"
            problems.append(not_finite(name, found, file=tensor.file.name, parameter=entry.name))
    if problems:
        directory = next(tensor.file.parent for tensor, _ in homes.values())
        raise InvalidValues(problems, str(directory))


def _method(tensor: ComputedTensor, dtype: str) -> str:
    return f"{tensor.encoding.method}->{dtype}"


def _stats(plan: Plan, findings: Findings, threads: int, started: float, reading: Reading | None = None) -> LoadStats:
    # Each tensor once, however many copies it is cut into.
    homes = {copy.tensor.name: (copy.tensor, entry.dtype) for entry in plan.parameters for copy in entry.copies}
    casts = {name: cast_between(tensor.values_dtype, dtype) for name, (tensor, dtype) in homes.items()}
    computed = {name: (tensor, dtype) for name, (tensor, dtype) in homes.items() if isinstance(tensor, ComputedTensor)}
    quantized = Counter(_method(*one) for one in computed.values() if isinstance(one[0], QuantizedTensor))
    merged = Counter(_method(*one) for one in computed.values() if not isinstance(one[0], QuantizedTensor))
    overflowed = {name: seen.overflowed for name, seen in findings.tensors.items() if seen.overflowed}
    warnings = []
    if overflowed:
        _, target = casts[next(iter(overflowed))].name.split("->")
        names = some([f"{name} ({count})" for name, count in overflowed.items()], 5, " and {} more")
        warnings.append(
            f"{sum(overflowed.values())} finite values are too large for {target} and became infinite, as with stock "
            f"MindFormers, in {len(overflowed)} tensors: {names}; load with params_dtype bfloat16 or float32"
        )
    warn(warnings)
    return LoadStats(
        bytes_read=findings.bytes_read,
        seconds=time.perf_counter() - started,
        threads=threads,
        casts=dict(Counter(casts[name].name for name in casts.keys() - computed.keys() if casts[name].convert)),
        dequantized=dict(quantized),
        merged=dict(merged),
        overflowed=overflowed,
        zero_tensors=tuple(name for name, cast in casts.items() if cast.makes_zero(findings.tensors[name].largest)),
        written=tuple(entry.name for entry in plan.parameters),
        values_checked=sum(prod(entry.shape) for entry in plan.parameters if entry.copies),
        warnings=tuple(warnings),
        reading=reading,
    )
