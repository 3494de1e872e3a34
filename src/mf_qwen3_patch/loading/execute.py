"""Carrying a plan out: read, assign, verify, report. Every entry ends here, and here alone a report is made."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from mf_qwen3_patch._installed import installed_versions
from mf_qwen3_patch._version import __version__
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.interrupts import keyboard_interrupts
from mf_qwen3_patch.loading.fallback import fresh_memory, load_with_mindformers
from mf_qwen3_patch.loading.report import LoadReport
from mf_qwen3_patch.loading.runtime.context import device_kind, parallelism, say_if_generate_will_fail
from mf_qwen3_patch.loading.runtime.log import say
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parallel import rank_numbers
from mf_qwen3_patch.loading.runtime.ranks import Ranks
from mf_qwen3_patch.loading.transfer.assign import assigned
from mf_qwen3_patch.loading.transfer.loader import read_parameters, scan_values
from mf_qwen3_patch.loading.transfer.plan import Plan
from mf_qwen3_patch.loading.transfer.verify import verify
from mf_qwen3_patch.settings import Settings


@dataclass(frozen=True)
class Details:
    """Account of what only an entry knows; fields of the same name mean the same in the report."""

    started: float
    ignored: Mapping[str, str] = field(default_factory=dict)
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    initializer_range: float = 0.02  # the standard deviation of newly initialized values


def discard_report(model: Any) -> None:
    """Take the report of an earlier load away: whatever follows, the model must not be described by it."""
    if getattr(model, "mf_qwen3_report", None) is not None:
        del model.mf_qwen3_report


@keyboard_interrupts()
def execute(model: Any, plan: Plan, checkpoint: Checkpoint, details: Details, ranks: Ranks) -> LoadReport:
    """Carry out a plan, and return the report, which is also ``model.mf_qwen3_report``.

    The files are compared with what they were when they were opened: before they are read, after it, and after the
    verification. The network's Parameters stay the same objects.

    Raises InvalidValues for NaN or infinity, CorruptCheckpoint if a file can't be read or was changed, LoadNotProven if
    the model did not hold what the checkpoint says, TimeoutError if other ranks say nothing. An error of one rank is
    raised on all of them. After any error, and after Ctrl-C, the model holds what it held before.
    """
    strict = Settings.from_environment().strict
    parameters, shared = network_parameters(model), parallelism()
    with ExitStack() as assignment, ranks.step():  # which ends first: an error of another rank undoes it, too
        checkpoint.check_unchanged()
        started = time.perf_counter()
        if plan.fallback:
            say("loading with MindFormers' own loader: %s", plan.fallback)
            stats = scan_values(plan, checkpoint.file)
            arrays = fresh_memory(model)
        else:
            arrays, stats = read_parameters(
                plan, checkpoint.file, ranks=shared.ranks, initializer_range=details.initializer_range
            )
        checkpoint.check_unchanged()
        assignment.enter_context(assigned(parameters, arrays))
        del arrays
        if plan.fallback:
            load_with_mindformers(model, checkpoint.files)
        load_seconds = time.perf_counter() - started
        verification = verify(model, plan, stats, checkpoint.file, strict=strict)
        checkpoint.check_unchanged()
    own = rank_numbers()
    report = model.mf_qwen3_report = LoadReport(
        directory=str(checkpoint.directory),
        model_class=type(model).__name__,
        files=tuple(file.name for file in checkpoint.files),
        tensors=len(checkpoint.tensors),
        parameters=len(parameters),
        rank=own.tensor,
        tensor_parallel=shared.tensor,
        pipeline_stage=own.pipeline,
        pipeline_parallel=shared.pipeline,
        expert_rank=own.expert,
        expert_parallel=shared.expert,
        data_rank=own.data,
        data_parallel=shared.data,
        global_rank=own.world,
        on_other_ranks=plan.elsewhere,
        seconds=time.perf_counter() - details.started,
        load_seconds=load_seconds,
        bytes_read=stats.bytes_read,
        threads=stats.threads,
        reading=stats.reading,
        fused=dict(Counter(plan.fused)),
        casts=stats.casts,
        dequantized=stats.dequantized,
        merged=stats.merged,
        ignored=details.ignored,
        mismatched=details.mismatched,
        newly_initialized=tuple(entry.name for entry in plan.newly_initialized),
        warnings=(*details.warnings, *stats.warnings, *verification.warnings),
        loader=f"MindFormers' own loader: {plan.fallback}" if plan.fallback else "mf_qwen3_patch",
        verification=verification,
        device=device_kind(),
        time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        host_peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        versions={"mf_qwen3_patch": __version__, **installed_versions()},
    )
    say_if_generate_will_fail()
    return report
