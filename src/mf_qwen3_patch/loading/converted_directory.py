"""A directory that was converted file by file (``convert``, or ``qkv_concat: True``): merged, in MindFormers' names.

Names and shapes do not tell in which layout parameters were merged, and stock's ``load_weights`` takes the training
layout for granted. So what converts under the shim notes the layout in the files' metadata, and only
files with that note are loaded here; all others are left to stock.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import mindspore
from mindformers.parallel_core.inference.parallel_state import get_tensor_model_parallel_rank
from mindspore import Parameter

from mf_qwen3_patch.checkpoint.files.safetensors_header import inspect_header
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.config_schema import SCHEMAS
from mf_qwen3_patch.families.layout import (
    INFERENCE,
    LAYOUT_KEY,
    RANKS_KEY,
    TRAINING,
    Merging,
    Shape,
)
from mf_qwen3_patch.families.mindformers import QWEN3, Family
from mf_qwen3_patch.loading.fallback import load_with_stock
from mf_qwen3_patch.loading.runtime.context import on_cpu, tensor_parallel_size
from mf_qwen3_patch.loading.runtime.log import say
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.loading.transfer.assign import hand_over
from mf_qwen3_patch.loading.transfer.name_mapping import of_another_family


def is_converted_directory(path: object) -> bool:
    """Return whether ``path`` is a directory of safetensors files whose metadata all note a layout.

    Args:
        path: Anything; what is no readable directory is not one. Files of single ranks are one directory below.
    """
    if not isinstance(path, (str, os.PathLike)) or not Path(path).is_dir():
        return False
    files = _weight_files(Path(path)) or sorted(Path(path).glob("rank_*/*.safetensors"))
    return bool(files) and all(inspect_header(file).metadata.get(LAYOUT_KEY) in (INFERENCE, TRAINING) for file in files)


def load_converted(model: Any, directory: str | os.PathLike[str], *, family: Family = QWEN3) -> None:
    """Load a converted directory into a model that is already built; all of it, or nothing.

    Args:
        model: The inference network.
        directory: With the converted files.
        family: The model family.

    Raises:
        UnsupportedCheckpoint: The files were not made for this number of ranks, or are of another kind of model; or
            stock, which loads the training layout, can't do it on this device.
        IncompleteCheckpoint: A parameter of the network is not there.
        ConfigMismatch: A parameter has another shape than in the network.
        CorruptCheckpoint: A file is damaged.
    """
    root, ranks = Path(directory), tensor_parallel_size()
    files = _weight_files(root)
    if not files:
        root, files = _files_of_this_rank(root, ranks)
    headers = {file: inspect_header(file) for file in files}
    if problems := [problem for header in headers.values() for problem in header.problems]:
        raise error_for(problems, str(root))
    layouts = {header.metadata.get(LAYOUT_KEY) for header in headers.values()}
    sliced = {int(header.metadata.get(RANKS_KEY, "1")) for header in headers.values()}
    if len(layouts) > 1 or len(sliced) > 1:
        raise error_for([_mixed(layouts)], str(root))
    parameters = network_parameters(model)
    shapes = {name: info.shape for header in headers.values() for name, info in header.tensors.items()}
    if found := of_another_family(shapes.keys(), family):
        raise error_for([_of_another_family(*found, family)], str(root))
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if layouts == {TRAINING}:
        # Stock's own loader takes merged parameters for this layout, and cuts each rank's slices out of them.
        wanted = {name: _in_training(name, shape, family) for name, shape in wanted.items()}
        _raise(_problems(wanted, shapes if ranks == 1 else {}, shapes), root)
        _raise(_without_a_kernel(parameters, family), root)
        load_with_stock(model, files)
        say("loaded %d parameters from %d files in the training layout in %s", len(parameters), len(files), root)
        return
    if sliced != {ranks}:
        raise error_for([_for_other_ranks(sliced.pop(), ranks)], str(root))
    _raise(_problems(wanted, shapes, shapes), root)
    loaded: dict[str, Parameter] = {}
    for file in files:
        loaded.update(mindspore.load_checkpoint(str(file), format="safetensors"))
    hand_over(parameters, {name: to_numpy(loaded[name].astype(own.dtype)) for name, own in parameters.items()})
    say("loaded all %d parameters from %d converted files in %s", len(parameters), len(files), root)


def _weight_files(root: Path) -> list[Path]:
    return sorted(root.glob("*.safetensors"))


def _files_of_this_rank(root: Path, ranks: int) -> tuple[Path, list[Path]]:
    own = root / f"rank_{get_tensor_model_parallel_rank()}"
    if files := _weight_files(own):
        return own, files
    raise error_for([_for_other_ranks(len(list(root.glob("rank_*"))), ranks)], str(root))


def _in_training(name: str, shape: Shape, family: Family) -> Shape:
    """Return the shape that a parameter of the network has in the training layout."""
    if not family.stacks(name):
        return shape
    return Merging(experts=True, flat=True).parameter_shape(shape[1:], shape[0])


def _without_a_kernel(parameters: Mapping[str, Parameter], family: Family) -> list[Problem]:
    """Foresee that stock assigns experts one by one, which MindSpore can't in bfloat16 on the CPU."""
    if not on_cpu():
        return []
    return [
        Problem(
            UnsupportedCheckpoint,
            f"{name} is bfloat16, and MindFormers' own loader, which takes the training layout, can't fill that in on "
            "the CPU",
            parameter=name,
            expected="float32 or float16",
            found="bfloat16",
            advice="build the network in float32, or load the HuggingFace directory itself",
        )
        for name, parameter in parameters.items()
        if family.stacks(name) and parameter.dtype == mindspore.bfloat16
    ][:1]


def _raise(problems: list[Problem], root: Path) -> None:
    if problems:
        raise error_for(problems, str(root))


def _for_other_ranks(sliced: int, ranks: int) -> Problem:
    made_for = "whole, and merged" if sliced == 1 else f"sliced for {sliced} tensor-parallel ranks"
    return Problem(
        UnsupportedCheckpoint,
        f"the parameters in the converted files are {made_for}, and cannot be shared out among {ranks}",
        expected=f"files made for {ranks} rank{'' if ranks == 1 else 's'}",
        found=f"files made for {sliced}",
        advice="load the HuggingFace directory itself (without qkv_concat), which is merged and sliced in one go, or "
        f"convert it with --tp {ranks}",
    )


def _of_another_family(parameter: str, other: Family, family: Family) -> Problem:
    return Problem(
        UnsupportedCheckpoint,
        f"the converted files are of {SCHEMAS[other.model_type].title}, but the model that they are loaded into is "
        f"{SCHEMAS[family.model_type].title}",
        parameter=parameter,
        expected=family.model_type,
        found=other.model_type,
        advice="build the model from the config.json that belongs to these weights",
    )


def _mixed(layouts: set[str | None]) -> Problem:
    return Problem(
        UnsupportedCheckpoint,
        "the converted files are not of one conversion",
        field=LAYOUT_KEY,
        found=", ".join(sorted(map(str, layouts))),
        advice="convert the HuggingFace directory again, into an empty place",
    )


def _problems(wanted: Mapping[str, Shape], shapes: Mapping[str, Shape], there: Collection[str]) -> list[Problem]:
    problems = [
        Problem(
            IncompleteCheckpoint,
            f"{name} is missing",
            parameter=name,
            advice="convert the HuggingFace directory again, or load it directly, without qkv_concat",
        )
        for name in wanted
        if name not in there
    ]
    problems += [
        Problem(
            ConfigMismatch,
            f"{name} has another shape than in the model",
            parameter=name,
            expected=list(own),
            found=list(shapes[name]),
            advice="the files are not from this model, or its config contradicts them",
        )
        for name, own in wanted.items()
        if name in shapes and shapes[name] != own
    ]
    return problems
