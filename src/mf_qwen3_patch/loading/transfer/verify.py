"""After the load: does the network hold what the files say?

The files are read a second time, by another route than the loader's (plain file reads, numpy's own casts),
and compared with the network's own memory. What the loader put in the wrong place, in the wrong
order or not at all differs in every row, so that a few rows of each slice show it; ``strict`` compares
all of them. NaN, infinity and zero are another matter, as one bad value can hide anywhere: those were
looked for in every value, by the loader, and the proof looks at the rows that it compares again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import CheckpointWarning, LoadNotProven
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.loading.transfer.cast import SOURCE_DTYPES, TARGET_DTYPES, Array, cast_like_numpy
from mf_qwen3_patch.loading.transfer.loader import LoadStats
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, Plan, SliceCopy

_SAMPLED_ROWS = 5
_BLOCK_ELEMENTS = 1 << 19


@dataclass(frozen=True)
class Proof:
    """What was checked after a load; that it exists means that all of it held.

    Attributes:
        parameters: How many parameters were checked: all of the network.
        fused: How many of them are merged from several tensors.
        slices: How many slices (a tensor, or this rank's part of one) were compared with the files.
        rows_compared: How many rows of them were compared, bit for bit.
        rows: How many rows they have.
        strict: Whether all rows were compared.
        compared: What was compared and what was sampled, as a sentence.
        values_checked: How many values were looked at for NaN and infinity: all.
        nan_inf: How many were NaN or infinite in the checkpoint; always 0, any is an error before.
        overflowed: How many became infinite by the cast to the network's dtype.
        all_zero: Tensors that are zero throughout, in the checkpoint or at least in the network's dtype: also
            those that are only a part of a merged parameter.
        warnings: What was warned of.
        seconds: How long the proof took.
    """

    parameters: int
    fused: int
    slices: int
    rows_compared: int
    rows: int
    strict: bool
    compared: str
    values_checked: int
    nan_inf: int
    overflowed: int
    all_zero: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return the findings for a report: what was checked, and the result."""
        zero = ", ".join(self.all_zero)
        overflow = f"; {self.overflowed} values too large for the dtype became infinite" if self.overflowed else ""
        return (
            ("parameters checked", f"{self.parameters}, all of them Parameters with the planned shape and dtype"),
            ("no NaN/Inf", f"in any of {self.values_checked} values of the checkpoint{overflow}"),
            ("no all-zero", f"but for what the checkpoint has as zero: {zero}" if zero else "parameters"),
            ("equal to the files", self.compared),
        )


def prove(model: Any, plan: Plan, stats: LoadStats, *, strict: bool = False) -> Proof:
    """Prove that ``model`` holds what ``plan`` says.

    Args:
        model: The loaded network.
        plan: What was to be loaded.
        stats: What the loader did and saw.
        strict: Compare every value with the files, not a sample of rows from every slice.

    Returns:
        What was checked. Warns (``CheckpointWarning``) of tensors that are zero throughout.

    Raises:
        LoadNotProven: It does not; names parameter, tensor and file.
    """
    started = time.perf_counter()
    parameters = network_parameters(model)
    _check_all_written(parameters, plan, stats)
    rows_compared = rows = 0
    with _Sources() as sources:
        for entry in plan.parameters:
            values = _held(parameters[entry.name], entry)
            for copy in entry.copies:
                compared, all_rows = _compare(entry, copy, values, sources, strict)
                rows_compared += compared
                rows += all_rows
    zero = stats.zero_tensors
    messages: tuple[str, ...] = ()
    if zero:
        names = ", ".join(zero[:5]) + (" and more" if len(zero) > 5 else "")
        message = (
            f"{len(zero)} tensor(s) zero throughout: {names}; the checkpoint itself says so (or has nothing there that "
            "their dtype can tell from zero), so that it was probably saved before it was trained"
        )
        warnings.warn(message, CheckpointWarning, stacklevel=2)
        messages = (message,)
    slices = sum(len(entry.copies) for entry in plan.parameters)
    fused = sum(len(entry.copies) > 1 for entry in plan.parameters)
    what = "all" if rows_compared == rows else f"{rows_compared} (first, last, between) of"
    return Proof(
        parameters=len(plan.parameters),
        fused=fused,
        slices=slices,
        rows_compared=rows_compared,
        rows=rows,
        strict=strict,
        compared=f"bit for bit after the cast: {what} {rows} rows of {slices} slices, among them the parts of "
        f"{fused} merged parameters",
        values_checked=stats.values_checked,
        nan_inf=0,
        overflowed=sum(stats.overflowed.values()),
        all_zero=zero,
        warnings=messages,
        seconds=time.perf_counter() - started,
    )


def _check_all_written(parameters: dict[str, Parameter], plan: Plan, stats: LoadStats) -> None:
    planned = [entry.name for entry in plan.parameters]
    unwritten = sorted((parameters.keys() | set(planned)) - set(stats.written))
    if unwritten or sorted(planned) != sorted(parameters):
        names = unwritten or sorted(parameters.keys() ^ set(planned))
        raise LoadNotProven(
            f"{len(names)} of the network's {len(parameters)} parameters were not loaded: {', '.join(names[:5])}; "
            "this is a bug of mf_qwen3_patch, please report it"
        )
    if stats.bytes_read != plan.bytes_to_read:
        raise LoadNotProven(
            f"{stats.bytes_read} bytes were read from the files, but the parameters need {plan.bytes_to_read}; "
            "this is a bug of mf_qwen3_patch, please report it"
        )


def _held(parameter: Parameter, entry: ParameterPlan) -> Array:
    """Return what the parameter holds, as an array of its shape that shares its memory where possible."""
    if parameter.has_init or parameter.init_mode is not None:
        raise LoadNotProven(f"parameter {entry.name} holds no data: it is still waiting to be initialized")
    dtype = str(parameter.dtype).lower()
    if tuple(parameter.shape) != entry.shape or dtype != entry.dtype:
        raise LoadNotProven(
            f"parameter {entry.name} should be {entry.dtype} {list(entry.shape)}, "
            f"but is {dtype} {list(parameter.shape)}"
        )
    return to_numpy(parameter)


def _compare(entry: ParameterPlan, copy: SliceCopy, values: Array, sources: _Sources, strict: bool) -> tuple[int, int]:
    """Compare a slice with its file; return how many rows were compared, and how many there are."""
    held = np.atleast_2d(copy.written(values))
    rows = len(held)
    for block in _blocks(rows, held.shape[1], strict):
        expected = cast_like_numpy(sources.rows(copy, block), TARGET_DTYPES[entry.dtype])
        found = held[block.start : block.stop]
        bits = f"u{expected.itemsize}"
        different = np.argwhere(expected.view(bits) != found.view(bits))
        if len(different):
            row, column = different[0]
            raise LoadNotProven(
                f"parameter {entry.name} does not hold what the checkpoint says: at row {block.start + row}, "
                f"column {column} of its part from tensor {copy.tensor.name} (file {copy.tensor.file.name}) it has "
                f"{found[row, column]}, the file {expected[row, column]} ({len(different)} of the {expected.size} "
                "values compared there differ); either something has written to the file or the model meanwhile, "
                "or this is a bug of mf_qwen3_patch, please report it"
            )
    return (rows if strict else min(rows, _SAMPLED_ROWS)), rows


def _blocks(rows: int, row_length: int, strict: bool) -> Iterator[range]:
    """Yield the rows to compare: all of them in blocks, or some one by one, first and last among them."""
    if strict or rows <= _SAMPLED_ROWS:
        step = max(1, _BLOCK_ELEMENTS // row_length)
        yield from (range(start, min(start + step, rows)) for start in range(0, rows, step))
        return
    for number in range(_SAMPLED_ROWS):
        row = number * (rows - 1) // (_SAMPLED_ROWS - 1)
        yield range(row, row + 1)


class _Sources:
    """The weight files, read again."""

    def __init__(self) -> None:
        self._opened: dict[Path, RawIOBase] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Sources:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def rows(self, copy: SliceCopy, block: range) -> Array:
        """Read some rows of what was copied, ``[rows, columns]`` in the file's dtype; a vector is one row."""
        tensor = copy.tensor
        dtype = SOURCE_DTYPES[tensor.dtype]
        region = copy.source if len(copy.source) == 2 else (slice(0, 1), *copy.source)
        columns = tensor.shape[-1]
        first = region[0].start + block.start
        whole_rows = np.empty((len(block), columns), dtype)
        stream = self._stream(tensor)
        stream.seek(tensor.offset + first * columns * dtype.itemsize)
        count = stream.readinto(whole_rows.reshape(-1).view(np.uint8).data)
        if count != whole_rows.nbytes:
            raise LoadNotProven(
                f"{tensor.file.name} has become shorter since tensor {tensor.name} was loaded from it: something "
                "writes to the checkpoint; load it again when it is complete"
            )
        return np.ascontiguousarray(whole_rows[:, region[1]])

    def _stream(self, tensor: TensorInfo) -> RawIOBase:
        if tensor.file not in self._opened:
            self._opened[tensor.file] = self._stack.enter_context(tensor.file.open("rb", buffering=0))
        return self._opened[tensor.file]
