"""Three repairs of ``generate``; those of wrong tokens stay with models that outlive them."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from mf_qwen3_patch.patches._patcher import MethodPatches, around, inference_method

_INFERENCE = "mindformers.parallel_core.inference.model_utils:InferModelMixin"
_GENERATION = "mindformers.generation.text_generator:GenerationMixin"
# Not equipped before they need it: that is a reference to itself, which delays when a model's memory is free.
_models: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def incremental_infer(
    stock: Callable[..., Any], self: Any, model_inputs: dict[str, Any], prefill: bool, *args: Any, **kwargs: Any
) -> Any:
    """Prefill in every ``generate()`` call in eager mode; stock does so in the first call only.

    Stock switches the network between prefill and decode with flags that it sets once per model
    (``_exec_add_flags``). A compiled graph remembers its own; in eager mode the flag stays on decode, so the second
    prompt is silently run through paged attention and gives wrong tokens.
    """
    from mindformers.tools.utils import is_pynative

    if prefill and is_pynative():
        self._exec_add_flags = True
    return stock(self, model_inputs, prefill, *args, **kwargs)


def build(stock: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    """Remember the models that are built."""
    stock(self, *args, **kwargs)
    _models[id(self)] = self


def _hand_over() -> None:
    """Let the models that are there go on prefilling in every ``generate()`` call, by an attribute of their own."""
    for reference in _models.valuerefs():
        if (model := reference()) is not None:
            model._incremental_infer_mcore = functools.partial(incremental_infer, _of_its_class, model)


def _of_its_class(model: Any, *args: Any, **kwargs: Any) -> Any:
    return type(model)._incremental_infer_mcore(model, *args, **kwargs)


def with_mask(stock: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the attention mask of a decode step the dtype that the network declares for it.

    Stock makes the mask in bfloat16 (float16 on an Ascend 310P) when it builds the model, and declares the compute
    dtype for it before the first step: a float16 model prefills, and its first decoded token is a TypeError.
    """
    from mindspore import Tensor

    result = stock(self, *args, **kwargs)
    if self.hard_mask.dtype != self.compute_dtype:
        self.hard_mask = Tensor([[0]], dtype=self.compute_dtype)  # made on the host: nothing is launched
    return result


def generate(stock: Callable[..., Any], self: Any, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
    """Take the arguments as transformers does, refuse what can't be done, and say what a full key/value cache needs.

    Stock cuts ``max_length`` to ``seq_length`` and then complains that ``max_length`` is too small, which no value of
    it can mend. Of a full cache it says that a pool of blocks is out of memory, and never gives them back.
    """
    lengths, config = _prompt_lengths(input_ids), self.config
    longest = max(lengths, default=0)
    if longest > config.seq_length:
        raise ValueError(
            f"the prompt has {longest} tokens, but the model was built for sequences of {config.seq_length}: load it "
            f"with a larger seq_length, e.g. from_pretrained(..., seq_length={2 * longest}), which takes prompt and "
            "answer together"
        )
    from mf_qwen3_patch.loading.generation.generate_arguments import generate_arguments

    chosen = args[0] if args else kwargs.get("generation_config")
    prompts = [np.ravel(row).tolist() for row in _rows(input_ids)]
    kwargs = generate_arguments(kwargs, chosen or self.generation_config, prompts, config.seq_length)
    try:
        return stock(self, input_ids, *args, **kwargs)
    except RuntimeError as error:
        if "block pool is out of memory" not in str(error):
            raise
        self.block_mgr.clear_cache()
        raise RuntimeError(
            f"the key/value cache has room for {config.num_blocks * config.block_size} tokens (num_blocks="
            f"{config.num_blocks}, block_size={config.block_size}), which this batch of {len(lengths)} has used up, "
            f"prompts and answers together: load the model with from_pretrained(..., batch_size={len(lengths)}), or "
            "with more num_blocks, or generate in smaller batches"
        ) from error


def _rows(input_ids: Any) -> Any:
    """Return each prompt, of one or of a batch, in whatever they are."""
    values = input_ids.asnumpy() if hasattr(input_ids, "asnumpy") else input_ids
    return values if len(values) and any(map(np.ndim, values)) else [values]


def _prompt_lengths(input_ids: Any) -> list[int]:
    """Return the number of tokens of each prompt, of one or of a batch, in whatever they are."""
    if isinstance(input_ids, (list, tuple)):
        return [int(np.size(row)) for row in input_ids] if any(map(np.ndim, input_ids)) else [len(input_ids)]
    *rows, length = getattr(input_ids, "shape", ()) or (0,)
    return [int(length)] * int(rows[0] if rows else 1)


EAGER_PREFILL = MethodPatches(
    *inference_method("_incremental_infer_mcore", around(incremental_infer), _GENERATION),
    *inference_method("__init__", around(build)),
    before_revert=_hand_over,
)
DECODE_MASK = MethodPatches(
    *inference_method("set_dynamic_inputs", around(with_mask), _INFERENCE),
    *inference_method("__init__", around(with_mask)),
)
PROMPT_LENGTH = MethodPatches(*inference_method("generate", around(generate), _GENERATION))
