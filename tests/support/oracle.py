"""The oracle: what HuggingFace transformers makes of a checkpoint, in float32 on the CPU.

Torch and transformers (extra `oracle`) are imported when it is asked, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Continuation", "continue_greedily", "load", "loss", "read", "run"]


@dataclass(frozen=True)
class Continuation:
    """How a model continues one prompt greedily.

    Attributes:
        tokens: The new token ids, without the prompt; if it ended early, eos is the last one.
        logits: float32 ``[vocab_size]``, at the last position of the prompt: they choose ``tokens[0]``.
        smallest_margin: The smallest lead, over all steps, of the best logit over the second best.
    """

    tokens: list[int]
    logits: npt.NDArray[np.float32]
    smallest_margin: float


def run(directory: str | Path, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Continuation]:
    """Load a HuggingFace directory in float32 and continue every prompt greedily.

    Args:
        directory: Holds config.json and the weights.
        prompts: Token ids; each prompt runs by itself, so nothing is padded.
        max_new_tokens: How many tokens to add, unless the model's eos comes first.

    Returns:
        One continuation for each prompt, in their order.

    Raises:
        ImportError: If torch or transformers is not installed.
    """
    model = load(directory)
    return [continue_greedily(model, prompt, max_new_tokens) for prompt in prompts]


def loss(directory: str | Path, tokens: Sequence[int]) -> float:
    """Load a HuggingFace directory in float32, and return how badly it predicts each of the tokens from those before.

    Raises:
        ImportError: If torch or transformers is not installed.
    """
    model = load(directory)
    import torch

    ids = torch.tensor([list(tokens)])
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(model(ids).logits[0, :-1].float(), ids[0, 1:]))


def read(
    directory: str | Path, prompts: Sequence[Sequence[int]], max_new_tokens: int, **options: Any
) -> dict[str, Any]:
    """Return what transformers makes of a directory: ``tokens``, or why it gives none that could be relied on.

    That is ``not_loaded``, how many of its parameters are in no file and hold random values, or ``error``, its class.
    """
    try:
        model, info = load(directory, output_loading_info=True, **options)
        missing = len(info["missing_keys"]) + len(info["mismatched_keys"])
        if missing:
            return {"not_loaded": missing}
        return {"tokens": [continue_greedily(model, prompt, max_new_tokens).tokens for prompt in prompts]}
    except Exception as error:  # whatever transformers raises for such a directory is its answer
        if isinstance(error, ImportError):
            raise
        return {"error": type(error).__name__}


def load(directory: str | Path, **options: Any) -> Any:
    """Load a HuggingFace directory as a float32 torch model with eager attention; more options go to transformers.

    Raises:
        ImportError: If torch or transformers is not installed.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise ImportError("the oracle needs torch and transformers: pip install 'mf-qwen3-patch[oracle]'") from error
    # Evaluation mode is what from_pretrained leaves.
    return AutoModelForCausalLM.from_pretrained(
        str(directory), torch_dtype=torch.float32, attn_implementation="eager", **options
    )


def continue_greedily(model: Any, prompt: Sequence[int], max_new_tokens: int) -> Continuation:
    """Continue one prompt of token ids with a model from `load`."""
    import torch

    input_ids = torch.tensor([list(prompt)])
    out = model.generate(
        input_ids,
        attention_mask=torch.ones_like(input_ids),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        output_logits=True,
        return_dict_in_generate=True,
    )
    logits = torch.stack(out.logits)[:, 0].float()
    best = logits.topk(2).values
    return Continuation(
        tokens=out.sequences[0, len(prompt) :].tolist(),
        logits=logits[0].numpy(),
        smallest_margin=float((best[:, 0] - best[:, 1]).min()),
    )
