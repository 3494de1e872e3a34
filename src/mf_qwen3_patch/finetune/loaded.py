"""After MindFormers' own load: is every parameter of the training network loaded, and does it hold what the files say?

MindFormers fills what was not loaded with random values, and drops the list of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from math import prod
from pathlib import Path

import mindspore
from mindformers.tools.utils import get_real_group_size, get_real_rank

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import Directory
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import mark_damaged
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.errors import LoadNotProven, some
from mf_qwen3_patch.families.layout import LAYOUT_KEY, strided_copies, whole
from mf_qwen3_patch.finetune.prepare import PREPARED, Prepared
from mf_qwen3_patch.finetune.training_network import TrainingNetwork
from mf_qwen3_patch.loading.report import LoadReport
from mf_qwen3_patch.loading.runtime.log import say
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan, SliceCopy
from mf_qwen3_patch.loading.transfer.verify import Verification, compare_with_files
from mf_qwen3_patch.settings import Settings


def check_loaded(trained: TrainingNetwork, path: str, started: float) -> LoadReport | None:
    """Check a load of a directory that is converted for this network, which ``started`` then; None for any other.

    Returns the report, which is also ``mf_qwen3_report`` of the network. Raises LoadNotProven if a parameter was not
    loaded, or does not hold what the HuggingFace directory says.
    """
    root = Path(path)
    if not root.is_dir():
        return None
    load_seconds = time.perf_counter() - started
    with open_checkpoint(root, absent_config={}) as checkpoint:
        notes = {header.metadata.get(LAYOUT_KEY) for header in checkpoint.headers.values()}
        if not any(map(Layouts.noted, notes)):
            return None
        _refuse_not_loaded(trained, checkpoint)
        ours = PREPARED.get(root.resolve())
        prepared = ours or Prepared(root, tuple(_copies(checkpoint)))
        try:
            verification = _verify(trained, prepared)
        except LoadNotProven as error:
            if ours is None:
                raise
            with suppress(OSError):
                mark_damaged(root)
            raise LoadNotProven(f"{error.args[0]}; {root} will be made again at the next start") from error
        report = trained.model.mf_qwen3_report = LoadReport(
            directory=str(prepared.source),
            model_class=type(trained.model).__name__,
            files=tuple(file.name for file in checkpoint.files),
            tensors=len(checkpoint.tensors),
            parameters=verification.parameters,
            bytes_read=sum(tensor.nbytes for tensor in checkpoint.tensors.values()),
            seconds=time.perf_counter() - started,
            load_seconds=load_seconds,
            rank=get_real_rank(),
            global_rank=get_real_rank(),
            tensor_parallel=get_real_group_size(),
            fused=dict(Counter(entry.kind for entry in prepared.entries if trained.family.fused_of(entry.name))),
            loader=f"MindFormers' own loader, from {path}",
            verification=verification,
        )
    for line in str(report).splitlines():
        say("%s", line)
    return report


def _refuse_not_loaded(trained: TrainingNetwork, checkpoint: Checkpoint) -> None:
    parameters = trained.parameters()
    lost = [name for name in parameters if name not in checkpoint.tensors]
    # A parameter of another pipeline stage waits for its values for ever.
    if mindspore.get_auto_parallel_context("pipeline_stages") == 1:
        lost += [name for name, parameter in parameters.items() if parameter.has_init and name not in lost]
    if lost:
        raise LoadNotProven(
            f"{len(lost)} of the network's {len(parameters)} parameters were not loaded from "
            f"{checkpoint.directory}, and would be trained from random values: {some(lost, 5)}"
        )


def _copies(checkpoint: Checkpoint) -> Iterable[ParameterPlan]:
    """Plan every tensor of a converted directory as the parameter that it is."""
    for name, tensor in checkpoint.tensors.items():
        place, (rows, *columns) = whole(tensor.shape), tensor.shape
        copies = (SliceCopy(tensor, region) for region in strided_copies(place, place, rows, prod(columns)))
        yield ParameterPlan(name, tensor.shape, DTYPE_NAMES[tensor.dtype], tuple(copies))


def _verify(trained: TrainingNetwork, prepared: Prepared) -> Verification:
    started = time.perf_counter()
    strict = Settings.from_environment().strict
    parameters = network_parameters(trained.model)
    slices = compared = rows = checked = 0
    sliced: list[str] = []
    with closing(Directory(prepared.source)) as directory:
        for entry in prepared.entries:
            parameter = parameters.get(entry.name)
            if parameter is None:
                continue  # the head of a tied model
            if tuple(parameter.shape) != entry.shape:
                sliced.append(entry.name)
                continue
            held = replace(entry, dtype=str(parameter.dtype).lower())
            values = to_numpy(parameter).reshape(-1)
            checked += values.size
            for copy in held.copies:
                slices += 1
                counts = compare_with_files(held, copy, values, lambda file: directory.file(file.name), strict=strict)
                rows, compared = rows + counts[0], compared + counts[1]
    what = "all" if compared == rows else f"{compared} (first, last, between) of"
    text = f"bit for bit after the cast: {what} {rows} rows of {slices} slices"
    if sliced:
        text += f"; not compared: {len(sliced)} parameters that this rank has a slice of"
    return Verification(
        parameters=len(trained.parameters()),
        fused=sum(trained.family.fused_of(entry.name) is not None for entry in prepared.entries),
        slices=slices,
        rows_compared=compared,
        rows=rows,
        strict=strict,
        compared=text,
        values_checked=checked,
        nan_inf=0,
        overflowed=0,
        all_zero=(),
        warnings=(),
        seconds=time.perf_counter() - started,
        unverifiable=tuple(sliced),
    )
