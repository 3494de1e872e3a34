"""The numbers of ranks that share a model, and the check that it can be split over them."""

from __future__ import annotations

from dataclasses import dataclass

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.errors import ConfigMismatch, Problem
from mf_qwen3_patch.families.tensors import ModelDims


@dataclass(frozen=True)
class Parallelism:
    """The numbers of ranks that share a model, by what they share.

    Attributes:
        tensor: Ranks that share the heads, the vocabulary and, of a dense model, the MLP.
        pipeline: Stages that share the layers.
        data: Groups of ranks that each hold the attention, and compute other sequences than the others.
        expert: Groups of ranks that share the experts; it divides ``tensor * data``.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: int = 1

    def __post_init__(self) -> None:
        ranks = self.tensor
        if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 1:
            raise ValueError(f"tensor_parallel must be a whole number, at least 1, not {short_repr(ranks)}")

    @property
    def expert_tensor(self) -> int:
        """Ranks that share the matrices of one expert."""
        return self.tensor * self.data // self.expert

    @property
    def ranks(self) -> int:
        """The number of all ranks together."""
        return self.tensor * self.pipeline * self.data

    def layers_of_a_stage(self, layers: int) -> int:
        """Return how many layers the largest stage has, if nobody shares them out otherwise."""
        return -(-layers // self.pipeline)


ONE_RANK = Parallelism()
"""A process that has the model for itself."""


def possible_ranks(dims: ModelDims) -> list[int]:
    """Return the numbers of tensor-parallel ranks, up to 1024, that MindFormers can split the model over."""
    most = min(dims.num_attention_heads, 1024)
    return [count for count in range(1, most + 1) if not _indivisible(dims, Parallelism(count))]


def parallel_problems(dims: ModelDims, parallelism: Parallelism) -> list[Problem]:
    """Check what MindFormers divides by numbers of ranks; one problem for each names all that is not divisible."""
    problems = []
    if wrong := _indivisible(dims, parallelism):
        ranks, values = parallelism.tensor, _values(dims, wrong)
        summary = f"the model can't be split over {ranks} tensor-parallel ranks: not divisible are {values}"
        expected = f"a multiple of {ranks}" + (" (or a divisor)" if wrong[0] == "num_key_value_heads" else "")
        advice = f"use one of {', '.join(str(count) for count in possible_ranks(dims)[:12])} ranks"
        problems.append(_problem(dims, wrong[0], summary, expected, advice))
    if dims.num_experts % parallelism.expert:
        ranks, field = parallelism.expert, "num_experts"
        summary = f"the experts can't be shared out among {ranks} expert-parallel ranks: {_values(dims, [field])}"
        problems.append(
            _problem(dims, field, summary, f"a multiple of {ranks}", f"use a divisor of {dims.num_experts}")
        )
    if dims.num_hidden_layers < parallelism.pipeline:
        stages, field = parallelism.pipeline, "num_hidden_layers"
        summary = f"the model has fewer layers than there are pipeline stages, which are {stages}"
        problems.append(_problem(dims, field, summary, f"at least {stages}", "use fewer pipeline stages"))
    return problems


def _indivisible(dims: ModelDims, parallelism: Parallelism) -> list[str]:
    """Return the fields that MindFormers divides by a number of tensor-parallel ranks, and can't."""
    ffn = "moe_intermediate_size" if dims.num_experts else "intermediate_size"
    divisors = {
        "num_attention_heads": parallelism.tensor,
        ffn: parallelism.expert_tensor if dims.num_experts else parallelism.tensor,
        "vocab_size": parallelism.tensor,
    }
    wrong = [field for field, ranks in divisors.items() if getattr(dims, field) % ranks]
    if dims.num_key_value_heads % parallelism.tensor and parallelism.tensor % dims.num_key_value_heads:
        wrong.append("num_key_value_heads")
    return wrong


def _values(dims: ModelDims, fields: list[str]) -> str:
    return ", ".join(f"{field} {getattr(dims, field)}" for field in fields)


def _problem(dims: ModelDims, field: str, summary: str, expected: str, advice: str) -> Problem:
    where = {"file": "config.json", "field": field, "expected": expected, "found": getattr(dims, field)}
    return Problem(ConfigMismatch, summary, **where, advice=advice)
