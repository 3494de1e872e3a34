"""A HuggingFace directory becomes the one that MindFormers' trainer loads: checked, and converted once a job."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.checks.preflight import CheckOptions, check
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint, open_checkpoint
from mf_qwen3_patch.checkpoint.files.directory import Directory, directory_of
from mf_qwen3_patch.checkpoint.writing.checkpoint_writer import find_place
from mf_qwen3_patch.convert.detect_layout import Layouts
from mf_qwen3_patch.convert.to_mindformers import Conversion, plan_conversion
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.layout import LAYOUT_KEY
from mf_qwen3_patch.finetune.ranks import Ranks
from mf_qwen3_patch.finetune.training_network import TrainingNetwork
from mf_qwen3_patch.loading.converted_directory import has_fused_parameters
from mf_qwen3_patch.loading.runtime.log import say, warn
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan

_MAX_SHARD_BYTES = 5 * 10**9


@dataclass(frozen=True)
class Prepared:
    """The source of a directory that this process has prepared, and how its tensors make the parameters."""

    source: Path
    entries: tuple[ParameterPlan, ...]


PREPARED: dict[Path, Prepared] = {}
"""By the directory that the trainer loads."""


def prepare(trained: TrainingNetwork, path: object, output_dir: object) -> str | None:
    """Return the directory that the trainer shall load instead of ``path``, None if that is not for us to say.

    A HuggingFace directory is converted into ``output_dir``, under the name that MindFormers has for it. One with
    MindFormers' names is loaded as it is; if its files note another layout than the network has, that is an error. What
    training itself has saved, and files other than safetensors, are not looked at.
    """
    source = directory_of(path)
    if source is None or not source.is_there or source.saved_by_mindformers:
        return None
    with closing(source):
        if source.rank_directories:
            _refuse_inference_slices(source)
            return None
        if not source.is_huggingface and not any(LAYOUT_KEY in source.header(n).metadata for n in source.weight_files):
            return None
        stand_in = {"model_type": trained.family.model_type, **trained.config}
        checkpoint = open_checkpoint(source, absent_config=stand_in)
        if has_fused_parameters(checkpoint):
            _refuse_other_layouts(checkpoint, trained.layouts)
            return None
        return _convert(trained, checkpoint, Path(str(output_dir or "./output")))


def _convert(trained: TrainingNetwork, checkpoint: Checkpoint, output_dir: Path) -> str:
    target = find_place(checkpoint.directory, output_dir / f"{trained.family.model_type}_ms_converted_weight")
    ranks = Ranks(target)
    with ranks.step():
        conversion = _plan(trained, checkpoint, target)
    with ranks.step():
        if not ranks.is_main:
            ranks.wait_for(conversion.directory)
        else:
            for removed in conversion.directory.make_way():
                say("removed %s, which was made from something else or is damaged", removed)
            converted = conversion.write()
            warn(converted.warnings)
            done = "was converted already" if converted.written.already else "converted"
            say("%s %s into %s (%s layout)", checkpoint.directory, done, target, trained.layouts.note)
    PREPARED[target.resolve()] = Prepared(checkpoint.directory, conversion.entries)
    return str(target)


def _plan(trained: TrainingNetwork, checkpoint: Checkpoint, target: Path) -> Conversion:
    options = CheckOptions(trained.config, "the network's config", model_type=trained.family.model_type)
    found = check(checkpoint, options)
    found.raise_for_problems()
    # MindFormers casts as it loads, but without a word about values that float16 can't hold.
    dtype = "float16" if trained.dtype == "float16" else None
    return plan_conversion(
        found, target, trained.layouts, dtype=dtype, dtype_of_mixed=trained.dtype, max_shard_bytes=_MAX_SHARD_BYTES
    )


def _refuse_other_layouts(checkpoint: Checkpoint, wanted: Layouts) -> None:
    for file, header in checkpoint.headers.items():
        note = header.metadata.get(LAYOUT_KEY)
        if note is not None and note != wanted.note:
            summary = f"{file.name} is in another layout than the network: it would load without an error, and be wrong"
            where = {"file": file.name, "field": LAYOUT_KEY, "expected": wanted.note, "found": note}
            advice = "load the HuggingFace directory itself, which is converted into the network's layout"
            problem = Problem(ConfigMismatch, summary, **where, advice=advice)
            raise error_for([problem], str(checkpoint.directory))


def _refuse_inference_slices(source: Directory) -> None:
    first = source.rank_directories[0]
    with closing(Directory(source.path / first)) as own:
        noted: Mapping[str, Any] = own.header(own.weight_files[0]).metadata
    if LAYOUT_KEY in noted:
        summary = f"{first} and its like hold the slices of ranks in the layout of inference"
        advice = "load the HuggingFace directory itself, which is converted into the network's layout"
        raise error_for([Problem(UnsupportedCheckpoint, summary, first, advice=advice)], str(source.path))
