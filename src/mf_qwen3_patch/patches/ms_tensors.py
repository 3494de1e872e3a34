"""MindSpore's tensors from the tokenizer: ``return_tensors="ms"``, as MindFormers' own tokenizers have it.

HuggingFace transformers, which makes Qwen3's tokenizer, knows no MindSpore.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.patches._patcher import MethodPatch, around

_MINDSPORE = "ms"


def convert_to_tensors(
    stock: Callable[..., Any], self: Any, tensor_type: Any = None, prepend_batch_axis: bool = False
) -> Any:
    """Make MindSpore tensors of int32, the dtype that MindFormers gives them; leave other types to stock."""
    if getattr(tensor_type, "value", tensor_type) != _MINDSPORE:
        return stock(self, tensor_type, prepend_batch_axis)
    from mindspore import Tensor

    for name, value in stock(self, "np", prepend_batch_axis).items():
        if value.dtype == object:
            lengths = "texts have different numbers of tokens"
            raise ValueError(f"{name} can't become one tensor, because the {lengths}; padding=True makes them equal")
        self[name] = Tensor(value.astype("int32"))
    return self


MS_TENSORS = MethodPatch(
    "transformers.tokenization_utils_base:BatchEncoding",
    "convert_to_tensors",
    around(convert_to_tensors),
    deferred=True,
)
