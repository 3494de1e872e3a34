"""Qwen3-MoE, the mixture of experts, by what differs from the dense model: its attention is the same."""

from __future__ import annotations

from dataclasses import replace

from mf_qwen3_patch.families.config_schema import Field, even_size, is_flag, size
from mf_qwen3_patch.families.family import FusedParameter
from mf_qwen3_patch.families.qwen3 import QWEN3

_DENSE = QWEN3.schema

QWEN3_MOE = replace(
    QWEN3,
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    title="a Qwen3 mixture of experts",
    schema=replace(
        _DENSE,
        fields={
            **_DENSE.fields,
            "hidden_size": size(2048),
            "intermediate_size": size(6144),
            "num_hidden_layers": size(24),
            "num_key_value_heads": size(4),
            # transformers: hidden_size / num_attention_heads, unlike the dense model's.
            "head_dim": even_size(None),
            "num_experts": size(128),
            "num_experts_per_tok": size(8),
            "moe_intermediate_size": size(768),
            "norm_topk_prob": Field(False, is_flag, "true or false"),
        },
        neutral={name: values for name, values in _DENSE.neutral.items() if name != "num_experts"}
        # MindFormers makes every layer a mixture of experts, whatever these say.
        | {"decoder_sparse_step": (1,), "mlp_only_layers": ([], None)},
        harmless=_DENSE.harmless | {"output_router_logits", "router_aux_loss_coef"},
        unverifiable=(*_DENSE.unverifiable, "num_experts_per_tok", "norm_topk_prob"),
        renamed={"num_local_experts": "num_experts"},  # since transformers 5
    ),
    layer_tensors={
        **{role: axes for role, axes in QWEN3.layer_tensors.items() if not role.startswith("mlp.")},
        "mlp.gate.weight": ("num_experts", "hidden_size"),
        "mlp.experts.*.gate_proj.weight": ("moe_intermediate_size", "hidden_size"),
        "mlp.experts.*.up_proj.weight": ("moe_intermediate_size", "hidden_size"),
        "mlp.experts.*.down_proj.weight": ("hidden_size", "moe_intermediate_size"),
    },
    fused=(
        QWEN3.fused[0],
        FusedParameter("weight1", ("gating", "hidden"), stacked=True),
        FusedParameter("weight2", ("linear_fc2",), stacked=True),
    ),
    # By transformers 5: [experts, rows, columns], the parts of an expert one below the other.
    grouped={
        "mlp.experts.gate_up_proj": ("mlp.experts.*.gate_proj.weight", "mlp.experts.*.up_proj.weight"),
        "mlp.experts.down_proj": ("mlp.experts.*.down_proj.weight",),
    },
    router="router",
    module="mindformers.models.qwen3_moe",
    inference_class="modeling_qwen3_moe_infer.InferenceQwen3MoeForCausalLM",
    training_class="modeling_qwen3_moe_train.TrainingQwen3MoeForCausalLM",
    config_class="configuration_qwen3_moe.Qwen3MoeConfig",
    base_class="utils.Qwen3MoePreTrainedModel",
)
