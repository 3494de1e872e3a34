"""Check that a model can be split over a number of tensor-parallel ranks."""

from __future__ import annotations

from mf_qwen3_patch.errors import ConfigMismatch, Problem
from mf_qwen3_patch.families.tensors import ModelDims


def _divided(shape: ModelDims) -> tuple[str, str, str]:
    return "num_attention_heads", "moe_intermediate_size" if shape.num_experts else "intermediate_size", "vocab_size"


def possible_ranks(shape: ModelDims) -> list[int]:
    """Return the numbers of ranks, up to 1024, that MindFormers can split the model over."""
    groups = shape.num_key_value_heads
    return [
        count
        for count in range(1, min(shape.num_attention_heads, 1024) + 1)
        if not any(getattr(shape, name) % count for name in _divided(shape))
        and (groups % count == 0 or count % groups == 0)
    ]


def tensor_parallel_problems(shape: ModelDims, ranks: int) -> list[Problem]:
    """Check what MindFormers divides by the number of ranks; one problem names all that is not divisible."""
    wrong = [name for name in _divided(shape) if getattr(shape, name) % ranks]
    groups = shape.num_key_value_heads
    if groups % ranks and ranks % groups:
        wrong.append("num_key_value_heads")
    if not wrong:
        return []
    values = ", ".join(f"{name} {getattr(shape, name)}" for name in wrong)
    return [
        Problem(
            ConfigMismatch,
            f"the model can't be split over {ranks} tensor-parallel ranks: not divisible are {values}",
            file="config.json",
            field=wrong[0],
            expected=f"a multiple of {ranks}" + (" (or a divisor)" if wrong[0] == "num_key_value_heads" else ""),
            found=getattr(shape, wrong[0]),
            advice=f"use one of {', '.join(str(count) for count in possible_ranks(shape)[:12])} ranks",
        )
    ]
