"""A directory that MindFormers' file-to-file conversion wrote (``qkv_concat: True``): merged, in MindFormers' names.

Names and shapes do not tell in which layout parameters were merged, and stock's ``load_weights`` takes the training
layout for granted. So the conversion, when it runs under the shim, notes the layout in the files'
metadata, and only files with that note are loaded here; all others are left to stock.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mindspore
from mindspore import Parameter
from safetensors import SafetensorError, safe_open

from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.loading.build import network_parameters
from mf_qwen3_patch.loading.context import tensor_parallel_size
from mf_qwen3_patch.loading.handing_over import hand_over
from mf_qwen3_patch.loading.log import say
from mf_qwen3_patch.loading.parameters import to_numpy

__all__ = ["INFERENCE_LAYOUT", "is_converted_directory", "load_converted"]

INFERENCE_LAYOUT = {"mf_qwen3_patch.layout": "inference"}
"""What the metadata of a converted safetensors file hold."""


def is_converted_directory(path: object) -> bool:
    """Return whether ``path`` is a directory of safetensors files that all are noted to be in the inference layout.

    Args:
        path: Anything; what is no readable directory is not one.
    """
    if not isinstance(path, (str, os.PathLike)) or not Path(path).is_dir():
        return False
    files = list(Path(path).glob("*.safetensors"))
    return bool(files) and all(_is_noted(file) for file in files)


def load_converted(model: Any, directory: str | os.PathLike[str]) -> None:
    """Load a converted directory into a model that is already built; all of it, or nothing.

    Args:
        model: The inference network.
        directory: With the converted files.

    Raises:
        UnsupportedCheckpoint: Ranks share the model, and would have to slice what is merged.
        IncompleteCheckpoint: A parameter of the network is not there.
        ConfigMismatch: A parameter has another shape than in the network.
    """
    root = Path(directory)
    if (ranks := tensor_parallel_size()) > 1:
        problem = Problem(
            UnsupportedCheckpoint,
            f"merged parameters cannot be shared out among {ranks} tensor-parallel ranks",
            field="qkv_concat",
            expected="False",
            found="True",
            advice="leave qkv_concat out: the HuggingFace directory itself is loaded, merged and sliced in one go",
        )
        raise error_for([problem], str(root))
    files = sorted(root.glob("*.safetensors"))
    loaded: dict[str, Parameter] = {}
    for file in files:
        loaded.update(mindspore.load_checkpoint(str(file), format="safetensors"))
    parameters = network_parameters(model)
    if problems := _problems(parameters, loaded):
        raise error_for(problems, str(root))
    hand_over(parameters, {name: to_numpy(loaded[name].astype(own.dtype)) for name, own in parameters.items()})
    say("loaded all %d parameters from %d converted files in %s", len(parameters), len(files), root)


def _is_noted(file: Path) -> bool:
    try:
        with safe_open(file, framework="np") as opened:
            return INFERENCE_LAYOUT.items() <= (opened.metadata() or {}).items()
    except (OSError, SafetensorError):
        return False


def _problems(parameters: dict[str, Parameter], loaded: dict[str, Parameter]) -> list[Problem]:
    problems = [
        Problem(
            IncompleteCheckpoint,
            f"{name} is missing",
            parameter=name,
            advice="convert the HuggingFace directory again, or load it directly, without qkv_concat",
        )
        for name in parameters
        if name not in loaded
    ]
    problems += [
        Problem(
            ConfigMismatch,
            f"{name} has another shape than in the model",
            parameter=name,
            expected=list(own.shape),
            found=list(loaded[name].shape),
            advice="the files are not from this model, or its config contradicts them",
        )
        for name, own in parameters.items()
        if name in loaded and tuple(loaded[name].shape) != tuple(own.shape)
    ]
    return problems
