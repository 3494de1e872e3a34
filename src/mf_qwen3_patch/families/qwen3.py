"""Qwen3, dense: config, tensors, MindFormers classes, fused parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mf_qwen3_patch.families.config_schema import (
    HARMLESS,
    ConfigSchema,
    Field,
    is_flag,
    is_number,
    is_positive,
    size,
)
from mf_qwen3_patch.families.family import Family, FusedParameter
from mf_qwen3_patch.families.tensors import Axes

_FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "hidden_size": size(4096),
        "vocab_size": size(151936),
        "intermediate_size": size(22016),
        "num_hidden_layers": size(32),
        "num_attention_heads": size(32),
        "num_key_value_heads": size(32),
        "head_dim": size(128),
        "tie_word_embeddings": Field(False, is_flag, "true or false"),
        "max_position_embeddings": size(32768),
        "rms_norm_eps": Field(1e-6, is_positive, "a number above 0"),
        "rope_theta": Field(10000.0, is_positive, "a number above 0"),
        "initializer_range": Field(0.02, is_number, "a number"),
        "attention_dropout": Field(0.0, is_number, "a number"),
        "hidden_act": Field("silu", lambda value: isinstance(value, str), "a string"),
    }
)
_DIMENSIONS = (
    "hidden_size",
    "vocab_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "tie_word_embeddings",
)
_NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "attention_bias": (False, None),
        "hidden_act": ("silu",),
        "use_sliding_window": (False, None),
        "partial_rotary_factor": (1, None),
        "mlp_bias": (False, None),
        "use_qk_norm": (True, None),
        "qk_layernorm": (True, None),
        "num_experts": (0, None),
        "dual_chunk_attention_config": (None,),
        "final_logit_softcapping": (None,),
        "attn_logit_softcapping": (None,),
        "embedding_multiplier": (1, None),
        "residual_multiplier": (1, None),
        "logits_scaling": (1, None),
        "logit_scale": (1, None),
        "use_mrope": (False, None),
        "position_embedding_type": ("rope", "none", None),
        "is_encoder_decoder": (False, None),
        "add_cross_attention": (False, None),
        "pruned_heads": ({}, None),
    }
)

SCHEMA = ConfigSchema(
    fields=_FIELDS,
    dimensions=_DIMENSIONS,
    neutral=_NEUTRAL,
    harmless=HARMLESS,
    unverifiable=("rope_theta", "rope_scaling", "rms_norm_eps"),
)

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"

OUTER_TENSORS: Mapping[str, Axes] = MappingProxyType(
    {
        EMBEDDING: ("vocab_size", "hidden_size"),
        "model.norm.weight": ("hidden_size",),
        HEAD: ("vocab_size", "hidden_size"),
    }
)

ATTENTION_TENSORS: Mapping[str, Axes] = MappingProxyType(
    {
        "input_layernorm.weight": ("hidden_size",),
        "self_attn.q_proj.weight": ("query_size", "hidden_size"),
        "self_attn.k_proj.weight": ("key_value_size", "hidden_size"),
        "self_attn.v_proj.weight": ("key_value_size", "hidden_size"),
        "self_attn.o_proj.weight": ("hidden_size", "query_size"),
        "self_attn.q_norm.weight": ("head_dim",),
        "self_attn.k_norm.weight": ("head_dim",),
        "post_attention_layernorm.weight": ("hidden_size",),
    }
)

BIASES = frozenset(f"self_attn.{name}_proj.bias" for name in "qkvo")

ATTENTION = FusedParameter("linear_qkv", ("linear_q", "linear_k", "linear_v"), blocks="num_key_value_heads")

PARAMETER_ROOTS = (
    "embedding.word_embeddings.",
    "decoder.layers.",
    "decoder.final_layernorm.",
    "output_layer.",
)

QWEN3 = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    title="Qwen3",
    schema=SCHEMA,
    embedding=EMBEDDING,
    head=HEAD,
    outer_tensors=OUTER_TENSORS,
    layer_tensors=MappingProxyType(
        {
            **ATTENTION_TENSORS,
            "mlp.gate_proj.weight": ("intermediate_size", "hidden_size"),
            "mlp.up_proj.weight": ("intermediate_size", "hidden_size"),
            "mlp.down_proj.weight": ("hidden_size", "intermediate_size"),
        }
    ),
    biases=BIASES,
    fused=(ATTENTION, FusedParameter("linear_fc1", ("gating", "hidden"), blocks="intermediate_size")),
    parameter_roots=PARAMETER_ROOTS,
    module="mindformers.models.qwen3",
    inference_class="modeling_qwen3_infer.InferenceQwen3ForCausalLM",
    training_class="modeling_qwen3_train.TrainingQwen3ForCausalLM",
    config_class="configuration_qwen3.Qwen3Config",
    base_class="utils.Qwen3PreTrainedModel",
)
