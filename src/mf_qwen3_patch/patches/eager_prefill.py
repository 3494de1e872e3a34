"""In eager mode, every ``generate()`` call prefills; stock does so for the first call only.

Stock switches the network between prefill and decode with flags that it sets once per model
(``_exec_add_flags``). A compiled graph remembers its own; in eager mode the flag stays on decode, so
the second prompt is silently run through paged attention and gives wrong tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, inference_classes

_MIXIN = "mindformers.generation.text_generator:GenerationMixin"


def _prefilling(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def incremental_infer(self: Any, model_inputs: dict[str, Any], prefill: bool, *args: Any, **kwargs: Any) -> Any:
        from mindformers.tools.utils import is_pynative

        if prefill and is_pynative():
            self._exec_add_flags = True
        return stock(self, model_inputs, prefill, *args, **kwargs)

    return incremental_infer


PATCH = MethodPatches(
    *(MethodPatch(cls, "_incremental_infer_mcore", _prefilling, _MIXIN) for _, cls in inference_classes())
)
