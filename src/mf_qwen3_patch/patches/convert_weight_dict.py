"""The inference classes get ``convert_weight_dict``, ``convert_map_dict`` and ``obtain_name_map``.

They are plain classmethods of plain functions: MindFormers pickles the bound method into a child
process, which a wrapped one would not survive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, inference_classes, resolve

if TYPE_CHECKING:
    from mindspore import Parameter

_MIXIN = "mindformers.parallel_core.utils.model_mixin:ModelMixin"


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
    from mf_qwen3_patch.loading import weight_dict

    return weight_dict.convert_weight_dict(cls, source_dict, family=_family_of(cls), **kwargs)


def convert_map_dict(cls: type, source_dict: Mapping[str, str], **kwargs: Any) -> dict[str, str]:
    """Convert a HuggingFace ``weight_map`` (tensor to file) to MindFormers names.

    Args:
        cls: The inference class.
        source_dict: HuggingFace tensor names to file names.
        kwargs: ``qkv_concat``: whether the files hold merged parameters, or still the parts.

    Returns:
        MindFormers parameter names to file names.
    """
    from mf_qwen3_patch.loading import weight_dict

    return weight_dict.convert_map_dict(cls, source_dict, family=_family_of(cls), **kwargs)


def obtain_name_map(cls: type, load_checkpoint_files: Iterable[str]) -> dict[str, str]:
    """Map the MindFormers name of every tensor in some files to its name there.

    Args:
        cls: The inference class.
        load_checkpoint_files: Paths of safetensors files.
    """
    from mf_qwen3_patch.loading import weight_dict

    return weight_dict.obtain_name_map(cls, load_checkpoint_files)


def _family_of(cls: type) -> Family:
    return next(family for family, path in inference_classes() if issubclass(cls, resolve(path)))


def _patch(cls: str, function: Callable[..., Any], expected_owner: str = "") -> MethodPatch:
    return MethodPatch(cls, function.__name__, lambda stub: classmethod(function), expected_owner)


PATCH = MethodPatches(
    *(_patch(cls, convert_weight_dict, _MIXIN) for _, cls in inference_classes()),
    *(_patch(cls, function) for _, cls in inference_classes() for function in (convert_map_dict, obtain_name_map)),
)
