"""The inference classes get ``convert_weight_dict``, ``convert_map_dict`` and ``obtain_name_map``.

They are plain classmethods of plain functions: MindFormers pickles the bound method into a child
process, which a wrapped one would not survive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, inference_method

if TYPE_CHECKING:
    from mindspore import Parameter

_MIXIN = "mindformers.parallel_core.utils.model_mixin:ModelMixin"


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


CONVERT_WEIGHT_DICT = MethodPatches(
    *_method(convert_weight_dict, _MIXIN), *_method(convert_map_dict), *_method(obtain_name_map)
)
