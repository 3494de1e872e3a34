"""The published models by their dimensions, to name the one that a config or a set of weights is of."""

from __future__ import annotations

from mf_qwen3_patch.families.tensors import ModelDims

# hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, num_experts
_MODELS = {
    (1024, 3072, 28, 16, 8, 0): "Qwen3-0.6B",
    (2048, 6144, 28, 16, 8, 0): "Qwen3-1.7B",
    (2560, 9728, 36, 32, 8, 0): "Qwen3-4B",
    (4096, 12288, 36, 32, 8, 0): "Qwen3-8B",
    (5120, 17408, 40, 40, 8, 0): "Qwen3-14B",
    (5120, 25600, 64, 64, 8, 0): "Qwen3-32B",
    (2048, 6144, 48, 32, 4, 128): "Qwen3-30B-A3B",
    (4096, 12288, 94, 64, 4, 128): "Qwen3-235B-A22B",
}


def published_name(dims: ModelDims) -> str | None:
    """Return the name of the published model that has these dimensions, None if none has."""
    key = (
        dims.hidden_size,
        dims.intermediate_size,
        dims.num_hidden_layers,
        dims.num_attention_heads,
        dims.num_key_value_heads,
        dims.num_experts,
    )
    return _MODELS.get(key)
