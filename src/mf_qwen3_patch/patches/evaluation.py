"""Two methods of the inference network that MindFormers' adapter of the lm-evaluation-harness calls.

Before it loads it asks for inputs by which weights are laid out for several devices, which stock's inference networks,
sliced by their own loader, do not have. Tasks that generate then work; those that score a continuation can't.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mf_qwen3_patch.patches._patcher import MethodPatches, around, inference_method


def prepare_inputs_for_predict_layout(
    stock: Callable[..., Any], self: Any, input_ids: Any, **kwargs: Any
) -> tuple[Any, ...]:
    """Return the inputs of a network: the tokens. No layout is made of them for this one."""
    return (input_ids,)


def call(stock: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the network; refuse to run it on the tokens alone, in place of an error of one of its operators."""
    if len(args) + len(kwargs) == 1:
        raise TypeError(
            f"{type(self).__name__} was called with one input: it needs its positions and its key/value cache, too, "
            "which generate() prepares\n"
            "  what to do: for the logits of the next token call generate(input_ids, max_new_tokens=1, "
            "return_dict_in_generate=True, output_logits=True)\n"
            "  of lm-eval's tasks those that generate (generate_until) work; those that score a given continuation "
            "(loglikelihood) need the logits of every position, which MindFormers' inference network does not give"
        )
    return stock(self, *args, **kwargs)


EVALUATION = MethodPatches(
    *inference_method("prepare_inputs_for_predict_layout", around(prepare_inputs_for_predict_layout)),
    *inference_method("__call__", around(call)),
)
