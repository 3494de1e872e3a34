"""The inference classes get ``convert_weight_dict``, ``convert_map_dict`` and ``obtain_name_map``.

They are plain classmethods of plain functions: MindFormers pickles the bound method into a child
process, which a wrapped one would not survive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mindformers.parallel_core.utils.model_mixin import ModelMixin
from mindspore import Parameter

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.qwen3_moe import QWEN3_MOE
from mf_qwen3_patch.loading import weight_dict as conversion
from mf_qwen3_patch.patches._families import first_reason, inference_classes
from mf_qwen3_patch.patches._patcher import AttributeChanges, defining_class

_changes = AttributeChanges()


def convert_weight_dict(cls: type, source_dict: Mapping[str, Any], **kwargs: Any) -> dict[str, Parameter]:
    """Convert a HuggingFace weight dict to the MindFormers inference layout.

    Args:
        cls: The inference class.
        source_dict: HuggingFace (or MindFormers) names to Parameters, Tensors or numpy arrays.
        kwargs: ``model_config``, ``qkv_dict`` and ``condition``, as stock MindFormers passes them.

    Returns:
        MindFormers names to Parameters, named, with ``requires_grad=False``.

    Raises:
        IncompleteCheckpoint: A layer has a part of Q, K, V or of gate, up, but not the others, or some experts only.
    """
    return conversion.convert_weight_dict(cls, source_dict, family=_family_of(cls), **kwargs)


def convert_map_dict(cls: type, source_dict: Mapping[str, str], **kwargs: Any) -> dict[str, str]:
    """Convert a HuggingFace ``weight_map`` (tensor to file) to MindFormers names.

    Args:
        cls: The inference class.
        source_dict: HuggingFace tensor names to file names.
        kwargs: ``qkv_concat``: whether the files hold merged parameters, or still the parts.

    Returns:
        MindFormers parameter names to file names.
    """
    return conversion.convert_map_dict(cls, source_dict, family=_family_of(cls), **kwargs)


def obtain_name_map(cls: type, load_checkpoint_files: Iterable[str]) -> dict[str, str]:
    """Map the MindFormers name of every tensor in some files to its name there.

    Args:
        cls: The inference class.
        load_checkpoint_files: Paths of safetensors files.
    """
    return conversion.obtain_name_map(cls, load_checkpoint_files)


def _family_of(cls: type) -> Family:
    return QWEN3_MOE if issubclass(cls, QWEN3_MOE.load(QWEN3_MOE.inference_class)) else QWEN3


_METHODS = (convert_weight_dict, convert_map_dict, obtain_name_map)


def supports() -> str | None:
    """Step aside if MindFormers defines the conversion itself."""
    return first_reason(_defined_upstream)


def _defined_upstream(family: Family) -> str | None:
    owner = defining_class(family.load(family.inference_class), "convert_weight_dict")
    if owner not in (ModelMixin, None):
        return f"{owner.__module__}.{owner.__qualname__} defines convert_weight_dict itself"
    return None


def apply() -> None:
    """Define the three classmethods on the inference classes."""
    for _, cls in inference_classes():
        for function in _METHODS:
            _changes.set(cls, function.__name__, classmethod(function))


def revert() -> None:
    """Delete them again; the mixin's stubs show through."""
    _changes.restore()
