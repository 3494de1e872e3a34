"""The Qwen3 models as published: what their config.json says, and the dense ones at a width fit for tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["DENSE", "MIXTURES", "PUBLISHED", "PUBLISHED_BYTES", "reduced"]

_ALL: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 40960,
    "model_type": "qwen3",
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


def _shape(hidden: int, intermediate: int, layers: int, heads: int, tie: bool, **rest: Any) -> Mapping[str, Any]:
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "max_window_layers": layers,
        "num_attention_heads": heads,
        "tie_word_embeddings": tie,
    }
    return MappingProxyType(_ALL | sizes | rest)


_2507 = {"max_position_embeddings": 262144, "rope_theta": 5000000}

DENSE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "Qwen3-0.6B": _shape(1024, 3072, 28, 16, True),
        "Qwen3-1.7B": _shape(2048, 6144, 28, 16, True),
        "Qwen3-4B": _shape(2560, 9728, 36, 32, True),
        "Qwen3-4B-Instruct-2507": _shape(2560, 9728, 36, 32, True, **_2507),
        "Qwen3-4B-Thinking-2507": _shape(2560, 9728, 36, 32, True, **_2507),
        "Qwen3-8B": _shape(4096, 12288, 36, 32, False),
        "Qwen3-14B": _shape(5120, 17408, 40, 40, False),
        "Qwen3-32B": _shape(5120, 25600, 64, 64, False),
    }
)
"""config.json by the model's name."""


def _mixture(hidden: int, intermediate: int, experts: int, layers: int, heads: int) -> Mapping[str, Any]:
    """Return the config of a mixture of experts, ``experts`` wide each."""
    rest = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": experts,
        "norm_topk_prob": True,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 4,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.001,
    }
    return _shape(hidden, intermediate, layers, heads, tie=False, **rest)


MIXTURES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "Qwen3-30B-A3B": _mixture(2048, 6144, 768, layers=48, heads=32),
        "Qwen3-235B-A22B": _mixture(4096, 12288, 1536, layers=94, heads=64),
    }
)
"""The same of those with experts."""

PUBLISHED: Mapping[str, Mapping[str, Any]] = MappingProxyType({**DENSE, **MIXTURES})

PUBLISHED_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "Qwen3-8B": 16381470720,
        "Qwen3-14B": 29536614400,
        "Qwen3-32B": 65524246528,
        "Qwen3-30B-A3B": 61064245248,
        "Qwen3-235B-A22B": 470187269120,
    }
)
"""``total_size`` of the index that is published with the weights, where they have one that says no more than that."""

_KEY_VALUE_HEADS = 2
_SMALL_VOCABULARY = 96


def reduced(name: str, head_dim: int) -> dict[str, Any]:
    """Return a published config at a small width: the ratios of heads, widths and head_dim are the same.

    Args:
        name: Of ``DENSE``.
        head_dim: Its size instead of 128; everything else follows from it.
    """
    config = dict(DENSE[name])
    heads = config["num_attention_heads"] * _KEY_VALUE_HEADS // config["num_key_value_heads"]
    scale = heads * head_dim / (config["num_attention_heads"] * config["head_dim"])
    hidden = config["hidden_size"] * scale
    intermediate = config["intermediate_size"] * scale
    assert hidden.is_integer()
    assert intermediate.is_integer()
    return config | {
        "hidden_size": int(hidden),
        "intermediate_size": int(intermediate),
        "num_hidden_layers": 2,
        "max_window_layers": 2,
        "num_attention_heads": heads,
        "num_key_value_heads": _KEY_VALUE_HEADS,
        "head_dim": head_dim,
        "vocab_size": _SMALL_VOCABULARY,
        "bos_token_id": None,
    }
