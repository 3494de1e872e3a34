"""MindFormers' file-to-file conversion (``qkv_concat: True``) writes what ``convert_weight_dict`` returns.

It hands the converted dict to ``safetensors.numpy.save_file``, which knows numpy arrays only;
``convert_weight_dict`` returns Parameters, as every other caller needs them. And it converts in child
processes: one that is given the network, which does not pickle, so that it has to be forked; and in it one for
each file, which has to have the shim in it, too.
"""

from __future__ import annotations

import functools
import multiprocessing
from typing import Any

from mindformers.utils import load_checkpoint_utils
from mindformers.utils.safetensors import convert_safetensors
from mindspore import Parameter
from safetensors.numpy import save_file as _numpy_save_file

from mf_qwen3_patch.families.layout import INFERENCE, layout_metadata
from mf_qwen3_patch.loading.runtime.parameters import to_numpy
from mf_qwen3_patch.patches import _children
from mf_qwen3_patch.patches._patcher import AttributeChanges

_changes = AttributeChanges()


@functools.wraps(_numpy_save_file)
def _save_file(tensor_dict: dict[str, Any], filename: Any, metadata: dict[str, str] | None = None) -> None:
    # Parameters come from our conversion alone; those of other models, and the training class's, give arrays.
    if all(isinstance(value, Parameter) for value in tensor_dict.values()):
        tensor_dict = {name: to_numpy(value) for name, value in tensor_dict.items()}
        metadata = {**(metadata or {}), **layout_metadata(INFERENCE)}
    _numpy_save_file(tensor_dict, filename, metadata)


def supports() -> str | None:
    """Step aside if the module no longer writes with ``safetensors.numpy.save_file``."""
    if getattr(convert_safetensors, "save_file", None) is not _numpy_save_file:
        return "it does not write with safetensors.numpy.save_file"
    return None


def apply() -> None:
    """Let the module's ``save_file`` take Parameters, and its children inherit the shim."""
    _changes.set(convert_safetensors, "save_file", _save_file)
    for module, process in (
        (convert_safetensors, _children.process),
        (load_checkpoint_utils, _children.forked_process),
    ):
        if getattr(module, "Process", None) is multiprocessing.Process:
            _changes.set(module, "Process", process)


def revert() -> None:
    """Put everything back."""
    _changes.restore()
