"""After the load: does the network hold what the files say?

The files are read a second time, by another route than the loader's (row by row, numpy's own casts),
and compared with the network's own memory. What the loader put in the wrong place, in the wrong
order or not at all differs in every row, so that a few rows of each slice show it; ``strict`` compares
all of them. NaN, infinity and zero are another matter, as one bad value can hide anywhere: those were
looked for in every value, by the loader, and the verification looks at the rows that it compares again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.computed_tensor import ComputedTensor
from mf_qwen3_patch.checkpoint.reading.read_file import Files
from mf_qwen3_patch.errors import LoadNotProven, some
from mf_qwen3_patch.loading.runtime.log import warn
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.loading.transfer.cast import SOURCE_DTYPES, TARGET_DTYPES, Array, cast_like_numpy
from mf_qwen3_patch.loading.transfer.loader import LoadStats
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, Plan, SliceCopy

_BUG = "this is a bug of mf_qwen3_patch, please report it"
_SAMPLED_ROWS = 5
_BLOCK_ELEMENTS = 1 << 19


@dataclass(frozen=True)
class Verification:
    """The checks after a load; that it exists means that all of it held.

    All parameters of the network were checked; ``fused`` of them are merged from several tensors. A slice is a tensor,
    or this rank's part of one: ``rows_compared`` of their ``rows`` were compared with the files, bit for bit, all of
    them if ``strict``; ``compared`` says it as a sentence. ``unverifiable`` parameters were not compared, as they are
    stored in a form of their own.

    All values were looked at: ``nan_inf`` is always 0, any is an error before; ``overflowed`` became infinite by the
    cast to the network's dtype; ``all_zero`` are tensors, also those that are only a part of a merged parameter, that
    are zero throughout in the checkpoint or at least in that dtype.
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
    unverifiable: tuple[str, ...] = ()

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


def verify(model: Any, plan: Plan, stats: LoadStats, files: Files, *, strict: bool = False) -> Verification:
    """Verify that ``model`` holds what ``plan`` says, after a load that did and saw ``stats``.

    ``strict`` compares every value with the files, not a sample of rows from every slice. Warns
    (``CheckpointWarning``) of tensors that are zero throughout. A model that holds something else is ``LoadNotProven``,
    a file that can't be read any more a ``CorruptCheckpoint``.
    """
    started = time.perf_counter()
    parameters = network_parameters(model)
    if not plan.fallback:
        _check_all_written(parameters, plan, stats)
    if stats.reading is not None and stats.reading.direct_bytes:
        _prefetch_samples(plan, files)
    slices = rows_compared = rows = 0
    for entry in plan.parameters:
        values = _held(parameters[entry.name], entry).reshape(-1)
        for copy in entry.copies:
            slices += 1
            counts = compare_with_files(entry, copy, values, files, strict=strict)
            rows, rows_compared = rows + counts[0], rows_compared + counts[1]
    zero = stats.zero_tensors
    warnings = []
    if zero:
        warnings.append(
            f"{len(zero)} tensor(s) zero throughout: {some(zero, 5, ' and more')}; the checkpoint itself says so (or "
            "has nothing there that their dtype can tell from zero), so that it was probably saved before it was "
            "trained"
        )
    warn(warnings)
    what = "all" if rows_compared == rows else f"{rows_compared} (first, last, between) of"
    compared = f"bit for bit after the cast: {what} {rows} rows of {slices} slices"
    if plan.fused:
        compared += f", among them the parts of {len(plan.fused)} merged parameters"
    if plan.unverifiable:
        compared += f"; not compared: {len(plan.unverifiable)} parameters that are stored in a form of their own"
    return Verification(
        parameters=len(plan.parameters),
        fused=len(plan.fused),
        slices=slices,
        rows_compared=rows_compared,
        rows=rows,
        strict=strict,
        compared=compared,
        values_checked=stats.values_checked,
        nan_inf=0,
        overflowed=sum(stats.overflowed.values()),
        all_zero=zero,
        warnings=tuple(warnings),
        seconds=time.perf_counter() - started,
        unverifiable=plan.unverifiable,
    )


def _check_all_written(parameters: Mapping[str, Parameter], plan: Plan, stats: LoadStats) -> None:
    planned, held = {entry.name for entry in plan.parameters}, parameters.keys()
    if lost := sorted((held | planned) - set(stats.written)) or sorted(held ^ planned):
        raise LoadNotProven(
            f"{len(lost)} of the network's {len(parameters)} parameters were not loaded: {', '.join(lost[:5])}; {_BUG}"
        )
    if stats.bytes_read != plan.bytes_to_read:
        needed = f"the parameters need {plan.bytes_to_read}; {_BUG}"
        raise LoadNotProven(f"{stats.bytes_read} bytes were read from the files, but {needed}")


def _prefetch_samples(plan: Plan, files: Files) -> None:
    """Have the disk read all rows that will be compared, which are not in the page cache, at the same time."""
    for entry in plan.parameters:
        for copy in entry.copies:
            if isinstance(copy.tensor, ComputedTensor):
                continue
            for block in _blocks(copy.region.rows, copy.region.columns, strict=False):
                start, nbytes = _place(copy, block.start, copy.region.columns)
                files(copy.tensor.file).prefetch(start, nbytes)


def _place(copy: SliceCopy, row: int, columns: int) -> tuple[int, int]:
    """Return where a row begins in the file, and how many bytes it has."""
    itemsize = SOURCE_DTYPES[copy.tensor.dtype].itemsize
    start = copy.tensor.offset + (copy.region.source + row * copy.region.source_stride) * itemsize
    return start, columns * itemsize


def _held(parameter: Parameter, entry: ParameterPlan) -> Array:
    """Return what the parameter holds, as an array of its shape that shares its memory where possible."""
    if parameter.has_init or parameter.init_mode is not None:
        raise LoadNotProven(f"parameter {entry.name} holds no data: it is still waiting to be initialized")
    dtype = str(parameter.dtype).lower()
    if tuple(parameter.shape) != entry.shape or dtype != entry.dtype:
        wanted, found = f"{entry.dtype} {list(entry.shape)}", f"{dtype} {list(parameter.shape)}"
        raise LoadNotProven(f"parameter {entry.name} should be {wanted}, but is {found}")
    return to_numpy(parameter)


def compare_with_files(
    entry: ParameterPlan, copy: SliceCopy, values: Array, files: Files, *, strict: bool
) -> tuple[int, int]:
    """Compare a slice with its file; return how many rows it has, and how many were compared.

    ``values`` are the parameter's, flattened; ``strict`` compares all of them. LoadNotProven if they differ.
    """
    rows = compared = 0
    for part in _readable_parts(copy):
        held = part.target_in(values)
        if _stored_by_columns(part):
            held = held.T
        rows += len(held)
        compared += _compare(entry, part, held, files, strict)
    return rows, compared


def _readable_parts(copy: SliceCopy) -> Iterator[SliceCopy]:
    """Yield a slice as it is, of a computed tensor as rectangles."""
    if isinstance(copy.tensor, ComputedTensor):
        yield from (SliceCopy(copy.tensor, region) for region in copy.region.by_rows_of(copy.tensor.shape[1]))
    else:
        yield copy


def _stored_by_columns(copy: SliceCopy) -> bool:
    """Return whether what the file has together are the columns: of those some are compared then, and not rows."""
    return isinstance(copy.tensor, ComputedTensor) and copy.tensor.encoding.transposed


def _read(copy: SliceCopy, block: range, columns: int, files: Files) -> Array:
    """Return some of the rows that are compared, as the file has them."""
    tensor = copy.tensor
    if isinstance(tensor, ComputedTensor):
        whole = copy.rectangle
        if _stored_by_columns(copy):
            part = whole[1][block.start : block.stop]
            return tensor.encoding.read(files, whole[0], part).values(0, columns).T
        return tensor.encoding.read(files, whole[0][block.start : block.stop], whole[1]).values(0, len(block))
    stored = np.empty((len(block), columns), SOURCE_DTYPES[tensor.dtype])
    file = files(tensor.file)
    for number, row in enumerate(block):
        file.read_at(_place(copy, row, columns)[0], stored[number].view(np.uint8).data, tensor.name)
    return stored


def _compare(entry: ParameterPlan, copy: SliceCopy, held: Array, files: Files, strict: bool) -> int:
    """Compare a slice, as the parameter holds it, with its file; return how many rows were compared."""
    tensor = copy.tensor
    rows, columns = held.shape
    for block in _blocks(rows, columns, strict):
        stored = _read(copy, block, columns, files)
        expected = np.ascontiguousarray(cast_like_numpy(stored, TARGET_DTYPES[entry.dtype]))
        found = np.ascontiguousarray(held[block.start : block.stop])
        bits = f"u{expected.itemsize}"
        differs = expected.view(bits) != found.view(bits)
        if differs.any():
            different = np.argwhere(differs)
            row, column = different[0]
            raise LoadNotProven(
                f"parameter {entry.name} does not hold what the checkpoint says: at row {block.start + row}, "
                f"column {column} of its part from tensor {tensor.name} (file {tensor.file.name}) it has "
                f"{found[row, column]}, the file {expected[row, column]} ({len(different)} of the {expected.size} "
                "values compared there differ); either something has written to the file or the model meanwhile, "
                f"or {_BUG}"
            )
    return rows if strict else min(rows, _SAMPLED_ROWS)


def _blocks(rows: int, row_length: int, strict: bool) -> list[range]:
    """Return the rows to compare: all of them in blocks, or some one by one, first and last among them."""
    if strict or rows <= _SAMPLED_ROWS:
        step = max(1, _BLOCK_ELEMENTS // row_length)
        return [range(start, min(start + step, rows)) for start in range(0, rows, step)]
    sampled = [number * (rows - 1) // (_SAMPLED_ROWS - 1) for number in range(_SAMPLED_ROWS)]
    return [range(row, row + 1) for row in sampled]
