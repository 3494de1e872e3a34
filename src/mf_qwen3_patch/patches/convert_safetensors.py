"""MindFormers' file-to-file conversion (``qkv_concat: True``) writes what ``convert_weight_dict`` returns.

It hands the converted dict to ``safetensors.numpy.save_file``, which knows numpy arrays only;
``convert_weight_dict`` returns Parameters, as every other caller needs them. And it converts in child
processes: one that is given the network, which does not pickle, so that it has to be forked; and in it one for
each file, which has to have the shim in it, too. A spawned child imports this module first.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

from mf_qwen3_patch.families.layout import INFERENCE, layout_metadata
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around, resolve

_MODULE = "mindformers.utils.safetensors.convert_safetensors"


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


def _other_writer() -> str | None:
    if getattr(resolve(_MODULE), "save_file", None) is not resolve("safetensors.numpy:save_file"):
        return "it does not write with safetensors.numpy.save_file"
    return None


def _instead_of_process(ours: Any) -> Callable[[Any], Any]:
    return lambda stock: ours if stock is multiprocessing.Process else stock


CONVERT_SAFETENSORS = MethodPatches(
    MethodPatch(_MODULE, "save_file", around(save_file)),
    MethodPatch(_MODULE, "Process", _instead_of_process(_process)),
    MethodPatch("mindformers.utils.load_checkpoint_utils", "Process", _instead_of_process(_forked_process)),
    supports=_other_writer,
)
