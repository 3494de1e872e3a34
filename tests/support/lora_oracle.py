"""The oracle for LoRA adapters: PEFT makes one on a small model, saves it, and merges it with ``merge_and_unload``.

Torch, transformers and PEFT are imported when they are asked, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.checkpoints import write_checkpoint

# All axes have different lengths, and files stay small.
BASE: dict[str, Any] = {
    "vocab_size": 48,
    "hidden_size": 40,
    "intermediate_size": 56,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
SOURCES = ("torch", "transformers", "peft")
_ATTENTION, _MLP = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]

CASES: Mapping[str, Mapping[str, Any]] = {
    "attention": {"r": 4, "lora_alpha": 8, "target_modules": _ATTENTION},
    "mlp": {"r": 2, "lora_alpha": 3, "target_modules": _MLP},
    "rank_stabilized": {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": "all-linear"},
    "patterns": {
        "r": 4,
        "lora_alpha": 4,
        "target_modules": [*_ATTENTION, "down_proj"],
        "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.down_proj": 8, "^model.layers.0.self_attn.k_proj": 3},
        "alpha_pattern": {"v_proj": 32, r"0\.self_attn\.o_proj": 1},
    },
    "fan_in_fan_out": {"r": 4, "lora_alpha": 8, "fan_in_fan_out": True, "target_modules": ["o_proj", "up_proj"]},
    "embedding": {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens", "lm_head", "v_proj"]},
    "modules_to_save": {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "one_layer": {"r": 4, "target_modules": _MLP, "layers_to_transform": [1]},
    "by_expression": {"r": 4, "target_modules": r".*\.(q|o)_proj"},
}
"""By name, the settings of each adapter."""


def write_base(directory: Path) -> Path:
    """Write the model that all adapters are of."""
    return write_checkpoint(directory, **BASE)


def make(base: Path, adapter: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Save an adapter of a model; return the merged model's tensors that differ from the model's."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            # Sixteenths, of which products and their sums are exact in whatever order.
            values = torch.randint(-16, 17, parameter.shape, generator=generator)
            parameter.data = values / 16
    adapted.save_pretrained(adapter)
    merged = adapted.merge_and_unload().state_dict()
    return {name: value for name, value in merged.items() if not torch.equal(value, before[name])}
