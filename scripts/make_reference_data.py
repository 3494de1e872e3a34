"""Make the reference data: small random Qwen3 checkpoints, and what HuggingFace transformers makes of them.

    python -m scripts.make_reference_data                  # remake checkpoints/ and expected/ in tests/reference_data
    python -m scripts.make_reference_data --output DIR     # make them elsewhere, to compare
    python -m scripts.make_reference_data moe moe_tied     # only these

For each checkpoint the first seed is taken whose data can prove something: no token is a close call,
no continuation runs in circles or meets eos, and every wrong load shows in the tokens.
Needs torch and transformers (extra `oracle`).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from scripts.wrong_angles import wrong_angles
from scripts.wrong_experts import wrong_experts
from tests.support import oracle
from tests.support.processes import ROOT
from tests.support.shapes import reduced

REFERENCE = ROOT / "tests" / "reference_data"
MICRO_QWEN3 = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
sys.path.insert(0, str(ROOT / "examples" / "micro_qwen3"))

from corpus import GREETINGS  # noqa: E402  (found through the line above)
from wrong_loads import wrong_loads  # noqa: E402

VOCAB_SIZE = 96
PAD, EOS = 0, 1
PROMPT_LENGTHS = (2, 5, 12)
MAX_NEW_TOKENS = 12
MICRO_MAX_NEW_TOKENS = 64

# Large enough that a misplaced row changes the tokens, small enough that the softmax does not saturate.
WEIGHT_STD = 0.25
# Norm weights away from one, or a loader that forgets them would go unnoticed.
NORM_STD = 0.25
# Far above what another order of summation can move.
MIN_MARGIN = 0.04
# The continuations of mixtures are closer calls, so that hundreds of seeds would have to be tried.
MIN_MARGIN_OF_MIXTURES = 0.02
MIN_DISTINCT_TOKENS = 7


@dataclass(frozen=True)
class Case:
    """One checkpoint.

    Attributes:
        config: What differs from `base_config`; with ``num_experts`` it is a mixture of experts.
        dtype: In which the weights are saved; the oracle computes in float32 in any case.
        max_shard_size: In the notation of ``save_pretrained``.
    """

    config: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "1GB"

    @property
    def is_mixture(self) -> bool:
        """Whether it is a mixture of experts."""
        return "num_experts" in self.config


# Not as wide as the dense MLP would be: a field that is mistaken for the other must show.
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "norm_topk_prob": True}

# So short that the prompts and what follows them go beyond it; the low base spreads yarn's ramp over the dimensions.
ORIGINAL_LENGTH = 16
YARN = {
    "head_dim": 16,
    "rope_theta": 100.0,
    "max_position_embeddings": 4 * ORIGINAL_LENGTH,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": ORIGINAL_LENGTH},
}


def shape(name: str, head_dim: int) -> Case:
    """Return the case of a published model at a small width."""
    config = reduced(name, head_dim) | {"pad_token_id": PAD, "eos_token_id": EOS}
    for key in ("architectures", "model_type", "torch_dtype", "transformers_version"):
        del config[key]
    return Case(config, dtype=torch.bfloat16)


CASES = {
    "gqa1_mha": Case({"num_key_value_heads": 4}),
    "gqa2": Case(),
    "gqa4": Case({"num_attention_heads": 8}),
    "wide_heads": Case({"head_dim": 16}),
    "tied": Case({"tie_word_embeddings": True}),
    "sharded": Case(max_shard_size="25KB"),
    "bf16": Case(dtype=torch.bfloat16),
    "fp16": Case(dtype=torch.float16),
    "three_layers": Case({"num_hidden_layers": 3, "intermediate_size": 40}),
    "moe": Case(MIXTURE),
    "moe_eight_experts": Case(
        {**MIXTURE, "num_experts": 8, "num_experts_per_tok": 3, "norm_topk_prob": False, "num_attention_heads": 8},
        max_shard_size="40KB",
    ),
    "moe_top1": Case({**MIXTURE, "num_experts_per_tok": 1, "norm_topk_prob": False, "num_key_value_heads": 4}),
    "moe_bf16": Case({**MIXTURE, "num_experts": 6}, dtype=torch.bfloat16),
    "moe_tied": Case({**MIXTURE, "tie_word_embeddings": True}),
    "qwen3_0_6b": shape("Qwen3-0.6B", head_dim=16),
    "qwen3_1_7b": shape("Qwen3-1.7B", head_dim=8),
    "qwen3_4b": shape("Qwen3-4B", head_dim=8),
    "qwen3_4b_2507": shape("Qwen3-4B-Instruct-2507", head_dim=8),
    "qwen3_8b": shape("Qwen3-8B", head_dim=4),
    "qwen3_14b": shape("Qwen3-14B", head_dim=4),
    "qwen3_32b": shape("Qwen3-32B", head_dim=4),
    "yarn": Case(YARN),
    "yarn_by_every_setting": Case(
        {
            **YARN,
            "max_position_embeddings": 2 * ORIGINAL_LENGTH,
            "rope_scaling": {
                "type": "yarn",
                "factor": 2.0,
                "original_max_position_embeddings": ORIGINAL_LENGTH,
                "attention_factor": 1.3,
                "beta_fast": 4.0,
                "beta_slow": 0.5,
            },
        }
    ),
    "moe_yarn": Case({**MIXTURE, **YARN}),
}


def base_config() -> dict[str, Any]:
    """Return the config that the cases vary; it has two query heads for each key head."""
    return {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
        "rope_theta": 1_000_000,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "sliding_window": None,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
    }


def make_checkpoint(case: Case, seed: int, directory: Path) -> list[list[int]]:
    """Write a random checkpoint and return random prompts for it, free of pad and eos."""
    shutil.rmtree(directory, ignore_errors=True)
    model: Any
    if case.is_mixture:
        model = transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(**{**base_config(), **case.config}))
    else:
        model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**{**base_config(), **case.config}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(generator=generator)
            if name.endswith("norm.weight"):
                parameter.mul_(NORM_STD).add_(1)
            else:
                parameter.mul_(WEIGHT_STD)
    model.to(case.dtype).save_pretrained(directory, safe_serialization=True, max_shard_size=case.max_shard_size)
    first_plain = max(PAD, EOS) + 1
    return [
        torch.randint(first_plain, VOCAB_SIZE, (length,), generator=generator).tolist() for length in PROMPT_LENGTHS
    ]


def why_not(model: Any, prompts: list[list[int]], continuations: list[oracle.Continuation]) -> str | None:
    """Return the first reason why these data prove too little, None if they will do."""
    least = MIN_MARGIN_OF_MIXTURES if model.config.model_type == "qwen3_moe" else MIN_MARGIN
    for continuation in continuations:
        if continuation.smallest_margin <= least:
            return f"a margin of {continuation.smallest_margin:.4f}"
        if len(continuation.tokens) != MAX_NEW_TOKENS or {PAD, EOS} & set(continuation.tokens):
            return "a continuation with eos or pad"
        if len(set(continuation.tokens)) < MIN_DISTINCT_TOKENS:
            return f"a monotonous continuation {continuation.tokens}"
    for fault, spoil in _wrong_loads_of(model.config).items():
        spoiled = copy.deepcopy(model)
        spoil(spoiled)
        wrong = (oracle.continue_greedily(spoiled, prompt, MAX_NEW_TOKENS).tokens for prompt in prompts)
        if all(tokens == right.tokens for tokens, right in zip(wrong, continuations, strict=True)):
            return f"{fault!r} does not show"
    return None


def _wrong_loads_of(config: Any) -> dict[str, Any]:
    faults = wrong_loads(config.num_hidden_layers)
    if config.rope_scaling:
        faults |= wrong_angles(config)
    if config.model_type != "qwen3_moe":
        return faults
    return {name: spoil for name, spoil in faults.items() if "gate" not in name} | wrong_experts()


def write_expected(
    stem: Path,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[oracle.Continuation],
    max_new_tokens: int,
    **extra: object,
) -> None:
    """Write ``stem``.json and ``stem``.npz (``logits``, float32 ``[prompts, vocab_size]``)."""
    expected = {
        **extra,
        "max_new_tokens": max_new_tokens,
        "prompts": prompts,
        "tokens": [continuation.tokens for continuation in continuations],
        "smallest_margin": round(min(continuation.smallest_margin for continuation in continuations), 4),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    # One line a key: json's own indentation would give every token a line.
    lines = (f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in expected.items())
    stem.with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    np.savez(stem.with_suffix(".npz"), logits=np.stack([continuation.logits for continuation in continuations]))


def make_case(name: str, case: Case, output: Path) -> None:
    """Try seeds until one will do; leave its checkpoint and its expected data in ``output``."""
    directory = output / "checkpoints" / name
    for seed in itertools.count():
        prompts = make_checkpoint(case, seed, directory)
        model = oracle.load(directory)
        continuations = [oracle.continue_greedily(model, prompt, MAX_NEW_TOKENS) for prompt in prompts]
        reason = why_not(model, prompts, continuations)
        if reason is None:
            break
        print(f"{name}: not seed {seed}: {reason}", flush=True)
    write_expected(output / "expected" / name, prompts, continuations, MAX_NEW_TOKENS, seed=seed)
    margin = min(continuation.smallest_margin for continuation in continuations)
    print(f"{name}: seed {seed}, smallest margin {margin:.4f}", flush=True)


def make_micro(output: Path) -> None:
    """Write what the micro model says to both greetings; its checkpoint stays where it is."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(MICRO_QWEN3)
    prompts = [tokenizer(greeting.prompt).input_ids for greeting in GREETINGS]
    continuations = oracle.run(MICRO_QWEN3, prompts, MICRO_MAX_NEW_TOKENS)
    write_expected(
        output / "expected" / MICRO_QWEN3.name,
        prompts,
        continuations,
        MICRO_MAX_NEW_TOKENS,
        prompt_texts=[greeting.prompt for greeting in GREETINGS],
        texts=[
            tokenizer.decode([*prompt, *continuation.tokens], skip_special_tokens=True)
            for prompt, continuation in zip(prompts, continuations, strict=True)
        ],
    )


def main() -> None:
    """Make the reference data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REFERENCE, help="where to write")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(CASES)}, micro_qwen3"
    )
    arguments = parser.parse_args()
    output: Path = arguments.output
    names = arguments.names or [*CASES, MICRO_QWEN3.name]

    # One thread: the order of summation must not depend on the machine's cores.
    torch.set_num_threads(1)
    (output / "expected").mkdir(parents=True, exist_ok=True)
    for name in names:
        if name == MICRO_QWEN3.name:
            make_micro(output)
        else:
            make_case(name, CASES[name], output)


if __name__ == "__main__":
    main()
