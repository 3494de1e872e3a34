"""Qwen3-MoE, the mixture of experts: config, tensors, MindFormers classes, fused and stacked parameters."""

from __future__ import annotations

from types import MappingProxyType

from mf_qwen3_patch.families.config_schema import ConfigSchema, Field, is_flag, size
from mf_qwen3_patch.families.family import Family, FusedParameter
from mf_qwen3_patch.families.qwen3 import (
    ATTENTION,
    ATTENTION_TENSORS,
    BIASES,
    EMBEDDING,
    HEAD,
    OUTER_TENSORS,
    PARAMETER_ROOTS,
    SCHEMA,
)

_SCHEMA = ConfigSchema(
    fields=MappingProxyType(
        {
            **SCHEMA.fields,
            "hidden_size": size(2048),
            "intermediate_size": size(6144),
            "num_hidden_layers": size(24),
            "num_key_value_heads": size(4),
            # transformers: hidden_size / num_attention_heads, unlike the dense model's.
            "head_dim": size(None),
            "num_experts": size(128),
            "num_experts_per_tok": size(8),
            "moe_intermediate_size": size(768),
            "norm_topk_prob": Field(False, is_flag, "true or false"),
        }
    ),
    dimensions=(*SCHEMA.dimensions, "num_experts", "moe_intermediate_size"),
    neutral=MappingProxyType(
        {name: values for name, values in SCHEMA.neutral.items() if name != "num_experts"}
        # MindFormers makes every layer a mixture of experts, whatever these say.
        | {"decoder_sparse_step": (1,), "mlp_only_layers": ([], None)}
    ),
    harmless=SCHEMA.harmless | {"output_router_logits", "router_aux_loss_coef"},
    unverifiable=(*SCHEMA.unverifiable, "num_experts_per_tok", "norm_topk_prob"),
)

QWEN3_MOE = Family(
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    title="a Qwen3 mixture of experts",
    schema=_SCHEMA,
    embedding=EMBEDDING,
    head=HEAD,
    outer_tensors=OUTER_TENSORS,
    layer_tensors=MappingProxyType(
        {
            **ATTENTION_TENSORS,
            "mlp.gate.weight": ("num_experts", "hidden_size"),
            "mlp.experts.*.gate_proj.weight": ("moe_intermediate_size", "hidden_size"),
            "mlp.experts.*.up_proj.weight": ("moe_intermediate_size", "hidden_size"),
            "mlp.experts.*.down_proj.weight": ("hidden_size", "moe_intermediate_size"),
        }
    ),
    biases=BIASES,
    fused=(
        ATTENTION,
        FusedParameter("weight1", ("gating", "hidden"), stacked=True),
        FusedParameter("weight2", ("linear_fc2",), stacked=True),
    ),
    router="router",
    parameter_roots=PARAMETER_ROOTS,
    module="mindformers.models.qwen3_moe",
    inference_class="modeling_qwen3_moe_infer.InferenceQwen3MoeForCausalLM",
    training_class="modeling_qwen3_moe_train.TrainingQwen3MoeForCausalLM",
    config_class="configuration_qwen3_moe.Qwen3MoeConfig",
    base_class="utils.Qwen3MoePreTrainedModel",
)
