"""The fast loader: each byte is read once, into its place in a Parameter.

Nothing is handed to the network before everything has been read and found sound, so that an error, a
full disk or Ctrl-C leaves the network as it was. Until then the loaded memory is only the
buffers that become the Parameters' own: the peak is the parameters' size and one chunk per thread.
(On Ascend MindSpore uploads a Parameter when the device first needs it, whenever it was set: handing
over one by one would not lower the peak there either.)
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from mf_qwen3_patch.errors import CheckpointWarning, InvalidValues
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.ranks import is_first_rank
from mf_qwen3_patch.loading.transfer.assign import hand_over
from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, cast_between
from mf_qwen3_patch.loading.transfer.initialize import new_values
from mf_qwen3_patch.loading.transfer.not_finite import not_finite
from mf_qwen3_patch.loading.transfer.plan import Plan
from mf_qwen3_patch.loading.transfer.read_requests import pieces_of
from mf_qwen3_patch.loading.transfer.reader import Files
from mf_qwen3_patch.loading.transfer.threads import thread_count
from mf_qwen3_patch.loading.transfer.worker import Findings, Worker, WorkShared

_PROGRESS_SECONDS = 0.1


@dataclass(frozen=True)
class LoadStats:
    """What a load did and saw.

    Attributes:
        bytes_read: Bytes of tensor data read from the files by this rank.
        seconds: How long it took.
        threads: How many threads read.
        casts: Dtype changes and the number of tensors they happened to: ``{"BF16->float32": 443}``.
        overflowed: Tensor name to the number of its finite values that became infinite by the cast.
        zero_tensors: Tensors of which all that was read is zero, or becomes zero by the cast.
        written: The parameters that were written, in the network's order.
        values_checked: How many values were looked at for NaN, infinity and zero: all that were read.
        warnings: What was warned of.
    """

    bytes_read: int
    seconds: float
    threads: int
    casts: Mapping[str, int]
    overflowed: Mapping[str, int] = field(default_factory=dict)
    zero_tensors: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    values_checked: int = 0
    warnings: tuple[str, ...] = ()


def load(
    model: Any, plan: Plan, *, threads: int | None = None, progress: bool = True, initializer_range: float = 0.02
) -> LoadStats:
    """Load what ``plan`` says into ``model``.

    Args:
        model: The network that the plan was made for. Its Parameters stay the same objects.
        plan: From ``mf_qwen3_patch.loading.transfer.plan.plan``.
        threads: How many threads read; see ``thread_count``.
        progress: Show a progress bar, on rank 0 and if stderr is a terminal.
        initializer_range: For the parameters that start anew, see ``mf_qwen3_patch.loading.transfer.initialize``.

    Returns:
        What was done. Warns (``CheckpointWarning``) of finite values that the cast made infinite.

    Raises:
        InvalidValues: The checkpoint holds NaN or infinity.
        CorruptCheckpoint: A file can't be read, or ends too early.
        ValueError: ``threads`` or ``MF_QWEN3_PATCH_THREADS`` is not a positive integer.

    After any of these, and after Ctrl-C, the network is as it was before, and no thread is left.
    """
    started = time.perf_counter()
    count = thread_count(threads)
    pieces = pieces_of(plan)
    arrays = {
        entry.name: np.empty(entry.shape, TARGET_DTYPES[entry.dtype])
        if entry.copies
        else new_values(entry, initializer_range)
        for entry in plan.parameters
    }
    buffers = {name: array.reshape(-1).view(f"u{array.itemsize}") for name, array in arrays.items()}
    with Files(piece.copy.tensor.file for piece in pieces) as files:
        shared = WorkShared(pieces, buffers, files)
        _work(shared, count, _bar(plan, progress))
    _refuse_invalid(plan, shared.findings)
    hand_over(network_parameters(model), arrays)
    stats = _stats(plan, shared.findings, count, started)
    if not stats.overflowed:
        return stats
    message = _about_overflow(stats.overflowed, plan)
    warnings.warn(message, CheckpointWarning, stacklevel=2)
    return replace(stats, warnings=(message,))


def _work(shared: WorkShared, threads: int, bar: Any) -> None:
    workers = [Worker(shared) for _ in range(threads)]
    # Leaving the pool waits for its threads, which end within one chunk once stop is set.
    with bar, ThreadPoolExecutor(threads, thread_name_prefix="mf_qwen3_patch-load") as pool:
        try:
            # The pool does not know a thread during whose start Ctrl-C came: none works before all are known.
            pending = {pool.submit(worker.run) for worker in workers}
            shared.go.set()
            while pending:
                done, pending = wait(pending, _PROGRESS_SECONDS, FIRST_EXCEPTION)
                bar.update(shared.findings.bytes_read - bar.n)
                for future in done:
                    future.result()
        except BaseException:
            shared.stop.set()
            shared.go.set()
            raise


def _bar(plan: Plan, progress: bool) -> Any:
    shown = progress and is_first_rank() and sys.stderr is not None and sys.stderr.isatty()
    return tqdm(
        total=plan.bytes_to_read,
        desc="Loading weights",
        unit="B",
        unit_scale=True,
        disable=not shown,
    )


def _refuse_invalid(plan: Plan, findings: Findings) -> None:
    problems = []
    for entry in plan.parameters:
        for copy in entry.copies:
            seen = findings.tensors[copy.tensor.name]
            if seen.nan or seen.infinite:
                found = f"{seen.nan} NaN and {seen.infinite} infinite of {copy.elements} values"
                problems.append(not_finite(copy.tensor.name, found, file=copy.tensor.file.name, parameter=entry.name))
    if problems:
        directory = next(copy.tensor.file.parent for entry in plan.parameters for copy in entry.copies)
        raise InvalidValues(problems, str(directory))


def _stats(plan: Plan, findings: Findings, threads: int, started: float) -> LoadStats:
    copies = [(entry, copy) for entry in plan.parameters for copy in entry.copies]
    casts = Counter(
        cast.name
        for entry, copy in copies
        if (cast := cast_between(copy.tensor.dtype, entry.dtype)).convert is not None
    )
    return LoadStats(
        bytes_read=findings.bytes_read,
        seconds=time.perf_counter() - started,
        threads=threads,
        casts=dict(casts),
        overflowed={name: seen.overflowed for name, seen in findings.tensors.items() if seen.overflowed},
        zero_tensors=tuple(
            copy.tensor.name
            for entry, copy in copies
            if cast_between(copy.tensor.dtype, entry.dtype).makes_zero(findings.tensors[copy.tensor.name].largest)
        ),
        written=tuple(entry.name for entry in plan.parameters),
        values_checked=sum(prod(entry.shape) for entry in plan.parameters if entry.copies),
    )


def _about_overflow(overflowed: Mapping[str, int], plan: Plan) -> str:
    dtypes = {copy.tensor.name: entry.dtype for entry in plan.parameters for copy in entry.copies}
    names = ", ".join(f"{name} ({count})" for name, count in list(overflowed.items())[:5])
    more = f" and {len(overflowed) - 5} more" if len(overflowed) > 5 else ""
    return (
        f"{sum(overflowed.values())} finite values are too large for {dtypes[next(iter(overflowed))]} and became "
        f"infinite, as with stock MindFormers, in {len(overflowed)} tensors: {names}{more}; "
        "load with params_dtype bfloat16 or float32"
    )
