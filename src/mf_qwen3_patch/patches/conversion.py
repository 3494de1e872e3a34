"""MindFormers' own conversion of HuggingFace weights, which its inference classes lack.

They get ``convert_weight_dict``, ``convert_map_dict`` and ``obtain_name_map``: plain classmethods of plain functions,
since MindFormers pickles the bound method into a child process, which a wrapped one would not survive.

File to file (``qkv_concat: True``), MindFormers hands the converted dict to ``safetensors.numpy.save_file``, which
knows numpy arrays only; ``convert_weight_dict`` returns Parameters, as every other caller needs them. And it converts
in child processes: one that is given the network, which does not pickle, so that it has to be forked; and in it one for
each file, which has to have the shim in it, too. A spawned child imports this module first.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.layout import INFERENCE, layout_metadata
from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, inference_method, resolve

if TYPE_CHECKING:
    from mindspore import Parameter

_MIXIN = "mindformers.parallel_core.utils.model_mixin:ModelMixin"
_MODULE = "mindformers.utils.safetensors.convert_safetensors"


def convert_weight_dict(cls: type, source_dict: Mapping[str, Any], **kwargs: Any) -> dict[str, Parameter]:
    """Convert a HuggingFace weight dict to the MindFormers inference layout.

    ``source_dict`` has HuggingFace (or MindFormers) names to Parameters, Tensors or numpy arrays; ``kwargs`` are
    ``model_config``, ``qkv_dict`` and ``condition``, as stock MindFormers passes them. The Parameters are named, with
    ``requires_grad=False``. Raises IncompleteCheckpoint if a layer has a part of Q, K, V or of gate, up, but not the
    others, or some experts only.
    """
    from mf_qwen3_patch.loading import weight_dict

    return weight_dict.convert_weight_dict(cls, source_dict, family=_family_of(cls), **kwargs)


def convert_map_dict(cls: type, source_dict: Mapping[str, str], **kwargs: Any) -> dict[str, str]:
    """Convert a HuggingFace ``weight_map`` (tensor to file) to MindFormers names (parameter to file).

    ``qkv_concat`` among ``kwargs`` says whether the files hold merged parameters, or still the parts.
    """
    from mf_qwen3_patch.loading import weight_dict

    return weight_dict.convert_map_dict(cls, source_dict, family=_family_of(cls), **kwargs)


def obtain_name_map(cls: type, load_checkpoint_files: Iterable[str]) -> dict[str, str]:
    """Map the MindFormers name of every tensor in some safetensors files to its name there."""
    from mf_qwen3_patch.loading import weight_dict

    return weight_dict.obtain_name_map(cls, load_checkpoint_files)


def _family_of(cls: type) -> Family:
    return next(family for family in FAMILIES.values() if issubclass(cls, family.load(family.inference_class)))


def _method(function: Callable[..., Any], expected_owner: str = "") -> list[MethodPatch]:
    return inference_method(function.__name__, lambda stub: classmethod(function), expected_owner)


def save_file(
    stock: Callable[..., None], tensor_dict: dict[str, Any], filename: Any, metadata: dict[str, str] | None = None
) -> None:
    """Write Parameters as arrays, with the layout that they are in.

    They come from our conversion alone; those of other models, and the training class's, give arrays.
    """
    from mindspore import Parameter

    from mf_qwen3_patch.loading.runtime.parameters import to_numpy

    if all(isinstance(value, Parameter) for value in tensor_dict.values()):
        tensor_dict = {name: to_numpy(value) for name, value in tensor_dict.items()}
        metadata = {**(metadata or {}), **layout_metadata(INFERENCE)}
    stock(tensor_dict, filename, metadata)


def call(target: Callable[..., Any], *args: Any) -> None:
    """Call ``target``. By having to be imported, this function brings the shim into a spawned child."""
    target(*args)


def _process(*, target: Callable[..., Any], args: Iterable[Any]) -> Any:
    """Make a process in which the shim is active, whatever its start method."""
    return multiprocessing.Process(target=call, args=(target, *args))


def _forked_process(*, target: Callable[..., Any], args: Iterable[Any]) -> Any:
    """Make a process by ``fork``, whatever the default start method: ``args`` need not pickle."""
    return multiprocessing.get_context("fork").Process(target=target, args=tuple(args))


def _instead_of_process(ours: Any) -> Callable[[Any], Any]:
    return lambda stock: ours if stock is multiprocessing.Process else stock


def _other_writer() -> str | None:
    if getattr(resolve(_MODULE), "save_file", None) is not resolve("safetensors.numpy:save_file"):
        return "it does not write with safetensors.numpy.save_file"
    return None


CONVERT_WEIGHT_DICT = MethodPatches(
    *_method(convert_weight_dict, _MIXIN), *_method(convert_map_dict), *_method(obtain_name_map)
)
CONVERT_SAFETENSORS = MethodPatches(
    MethodPatch(_MODULE, "save_file", around(save_file)),
    MethodPatch(_MODULE, "Process", _instead_of_process(_process)),
    MethodPatch("mindformers.utils.load_checkpoint_utils", "Process", _instead_of_process(_forked_process)),
    supports=_other_writer,
)
