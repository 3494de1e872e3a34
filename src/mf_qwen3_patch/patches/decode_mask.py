"""The attention mask of a decode step has the dtype that the network declares for it.

Stock makes the mask in bfloat16 (float16 on an Ascend 310P) when it builds the model, and declares the compute dtype
for it before the first step: a float16 model prefills, and its first decoded token is a TypeError.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, inference_classes

_MIXIN = "mindformers.parallel_core.inference.model_utils:InferModelMixin"


def _with_a_fitting_mask(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def set_dynamic_inputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        from mindspore import Tensor

        if self.hard_mask.dtype != self.compute_dtype:
            self.hard_mask = Tensor([[0]], dtype=self.compute_dtype)  # made on the host: nothing is launched
        return stock(self, *args, **kwargs)

    return set_dynamic_inputs


PATCH = MethodPatches(
    *(MethodPatch(cls, "set_dynamic_inputs", _with_a_fitting_mask, _MIXIN) for _, cls in inference_classes())
)
