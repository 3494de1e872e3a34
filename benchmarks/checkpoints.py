"""Makes a HuggingFace Qwen3 directory of a real model's shape, in bfloat16, with random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

SHAPES: dict[str, dict[str, Any]] = {
    "0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28},
    "1.7B": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28},
    "8B": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
    "30B-A3B": {
        "architectures": ["Qwen3MoeForCausalLM"],
        "decoder_sparse_step": 1,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "mlp_only_layers": [],
        "model_type": "qwen3_moe",
        "moe_intermediate_size": 768,
        "norm_topk_prob": True,
        "num_attention_heads": 32,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 2,
        "num_key_value_heads": 4,
    },
    "tiny": {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2},
}

ALL_LAYERS = {"30B-A3B": 48}
"""How many layers the model has, for shapes that have only some of them."""

_COMMON: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}

_BLOCK = 1 << 22


def make(directory: Path, shape: str) -> Path:
    """Write the checkpoint, unless it is there already.

    The weights are drawn as trained ones are spread (normal, standard deviation 0.02), not from all bit
    patterns: half of those overflow in float16.

    Args:
        directory: Where the checkpoint's own directory is made.
        shape: A key of ``SHAPES``.

    Returns:
        The checkpoint's directory.
    """
    root = directory / f"qwen3-{shape}"
    file = root / "model.safetensors"
    if file.exists():
        return root
    root.mkdir(parents=True, exist_ok=True)
    config = _COMMON | SHAPES[shape]
    (root / "config.json").write_text(json.dumps(config, indent=2))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, size in _tensors(config):
        end = position + 2 * prod(size)
        header[name] = {"dtype": "BF16", "shape": size, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    values = np.random.default_rng(0).standard_normal(_BLOCK, dtype=np.float32) * 0.02
    block = (values.view(np.uint32) >> 16).astype(np.uint16)
    unfinished = file.with_suffix(".unfinished")
    with unfinished.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        written = 0
        while written < position // 2:
            count = min(_BLOCK, position // 2 - written)
            stream.write(np.roll(block, written // _BLOCK)[:count].tobytes())
            written += count
    unfinished.rename(file)
    return root


def _tensors(config: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """Yield names and shapes in the order of the real files, which is the names'."""
    hidden, inner, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    shapes = {"lm_head": [config["vocab_size"], hidden], "model.embed_tokens": [config["vocab_size"], hidden]}
    for layer in range(config["num_hidden_layers"]):
        shapes |= {
            f"model.layers.{layer}.{name}": shape
            for name, shape in {
                "input_layernorm": [hidden],
                **_mlp(config, inner),
                "post_attention_layernorm": [hidden],
                "self_attn.k_norm": [dim],
                "self_attn.k_proj": [keys, hidden],
                "self_attn.o_proj": [hidden, queries],
                "self_attn.q_norm": [dim],
                "self_attn.q_proj": [queries, hidden],
                "self_attn.v_proj": [keys, hidden],
            }.items()
        }
    shapes["model.norm"] = [hidden]
    for name in sorted(shapes):
        yield f"{name}.weight", shapes[name]


def _mlp(config: dict[str, Any], inner: int, prefix: str = "mlp.") -> dict[str, list[int]]:
    hidden = config["hidden_size"]
    if "num_experts" not in config or prefix != "mlp.":
        return {
            f"{prefix}down_proj": [hidden, inner],
            f"{prefix}gate_proj": [inner, hidden],
            f"{prefix}up_proj": [inner, hidden],
        }
    shapes = {f"{prefix}gate": [config["num_experts"], hidden]}
    for expert in range(config["num_experts"]):
        shapes |= _mlp(config, config["moe_intermediate_size"], f"{prefix}experts.{expert}.")
    return shapes
