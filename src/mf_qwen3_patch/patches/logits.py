"""Logits are processed as transformers does it.

Stock penalizes and counts the padding behind a row's tokens as if it were text, so that with ``pad_token_id`` equal to
an ``eos_token_id``, as Qwen3 is published, the end of the answer is always penalized; a pad token beyond the vocabulary
ends the processing without a word. Its top-p leaves out the token that reaches the share, which transformers keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mf_qwen3_patch.patches._patcher import MethodPatches, around, inference_method

_GENERATION = "mindformers.generation.text_generator:GenerationMixin"


def get_logits_processor(
    stock: Callable[..., Any], self: Any, generation_config: Any, *args: Any, **kwargs: Any
) -> Any:
    """Return the processors of every token; those that the call brings come last, as in transformers."""
    from mf_qwen3_patch.loading.generation.logits_processors import RowProcessors, processing_of

    custom = kwargs.get("logits_processor", args[1] if len(args) > 1 else None)
    return RowProcessors(processing_of(generation_config), custom)


def get_logits_warper(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the processors of tokens that are sampled."""
    from mf_qwen3_patch.loading.generation.logits_processors import RowWarpers, warping_of

    return RowWarpers(warping_of(kwargs["generation_config"] if "generation_config" in kwargs else args[-1]))


def postprocess(stock: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    """Tell the processors how many tokens each row has, which stock leaves to the padding."""
    processors: Any = kwargs.get("logits_processor")
    if hasattr(processors, "lengths"):
        processors.lengths = np.array(kwargs["valid_length_each_example"])
    return stock(self, *args, **kwargs)


def _static(replacement: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda stock: staticmethod(around(replacement)(stock.__func__))


LOGITS = MethodPatches(
    *inference_method("get_logits_processor", around(get_logits_processor), _GENERATION),
    *inference_method("get_logits_warper", _static(get_logits_warper), _GENERATION),
    *inference_method("postprocess", around(postprocess), _GENERATION),
)
