"""What every key of a Qwen3 config means to us: its default, its valid values, its other names.

Explicit lists, on purpose: stock MindFormers refuses keys that it does not know, and HuggingFace
adds new ones with every release, so each key must be carried over, dropped, or refused by name.

HuggingFace's own model is the judge of what a key can do:

- A key that it reads is a field (carried over), or neutral (refused unless it has the one value that
  MindFormers computes with), or known to be harmless. A test holds these lists against its source.
- A key that it does not read, but that other models or other people's Qwen3 read and that would change what they
  compute (soft capping, scaling factors, extra biases), is neutral, too: such a checkpoint was not made for
  HuggingFace's Qwen3.
- Any other key can't change what HuggingFace's Qwen3 computes. It is ignored, as there, with one warning that
  names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_MAX_DIMENSION = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Field:
    """A config key that decides the output.

    Attributes:
        default: HuggingFace's default (transformers' ``Qwen3Config``) where the key is absent; None if it follows
            from other fields.
        valid: Says whether a value is usable.
        wanted: What ``valid`` asks for, in words.
    """

    default: Any
    valid: Callable[[Any], bool]
    wanted: str


def _dimension(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_DIMENSION


def _positive(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value) and value > 0
    except OverflowError:  # an int that is no float
        return False


def _number(value: Any) -> bool:
    return value == 0 or _positive(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _size(default: int) -> Field:
    return Field(default, _dimension, "a whole number, at least 1")


FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "hidden_size": _size(4096),
        "vocab_size": _size(151936),
        "intermediate_size": _size(22016),
        "num_hidden_layers": _size(32),
        "num_attention_heads": _size(32),
        "num_key_value_heads": _size(32),
        "head_dim": _size(128),
        "tie_word_embeddings": Field(False, _flag, "true or false"),
        "max_position_embeddings": _size(32768),
        "rms_norm_eps": Field(1e-6, _positive, "a number above 0"),
        "rope_theta": Field(10000.0, _positive, "a number above 0"),
        "initializer_range": Field(0.02, _number, "a number"),
        "attention_dropout": Field(0.0, _number, "a number"),
        "hidden_act": Field("silu", lambda value: isinstance(value, str), "a string"),
    }
)
"""Keys that are always passed on, with HuggingFace's default where config.json has none."""

SHAPE_FIELDS = (
    "hidden_size",
    "vocab_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "tie_word_embeddings",
)
"""The fields that the weights themselves can confirm or contradict."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
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
"""Keys that change the output unless they have one of these values; refused otherwise."""

PASSED_ON = frozenset(
    {
        "architectures",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "model_type",
        "tokenizer_class",
        "temperature",
        "repetition_penalty",
        "top_k",
        "top_p",
        "do_sample",
    }
)
"""Keys that MindFormers' Qwen3Config accepts as they are and that need no check."""

HARMLESS = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "attn_implementation",
        "bad_words_ids",
        "begin_suppress_tokens",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "diversity_penalty",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "is_decoder",
        "label2id",
        "length_penalty",
        "max_length",
        "max_window_layers",
        "min_length",
        "name_or_path",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "remove_invalid_values",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "sliding_window",
        "suppress_tokens",
        "task_specific_params",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "torchscript",
        "transformers_version",
        "typical_p",
        "unsloth_fixed",
        "unsloth_version",
        "use_bfloat16",
        "use_cache",
    }
)
"""Keys that HuggingFace writes and that can't change the output of a causal Qwen3; dropped silently."""

DTYPES = ("float32", "float16", "bfloat16", "float64")
"""What ``torch_dtype`` (``dtype`` since transformers 4.56) may say."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "num_layers": "num_hidden_layers",
        "n_layer": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "n_head": "num_attention_heads",
        "n_kv_heads": "num_key_value_heads",
        "num_query_groups": "num_key_value_heads",
        "ffn_hidden_size": "intermediate_size",
        "kv_channels": "head_dim",
        "layernorm_epsilon": "rms_norm_eps",
        "layer_norm_epsilon": "rms_norm_eps",
        "theta": "rope_theta",
        "rotary_base": "rope_theta",
        "qkv_has_bias": "attention_bias",
        "add_qkv_bias": "attention_bias",
        "init_method_std": "initializer_range",
        "moe_ffn_hidden_size": "moe_intermediate_size",
        "moe_router_topk": "num_experts_per_tok",
        "num_moe_experts": "num_experts",
        "n_routed_experts": "num_experts",
        "expert_num": "num_experts",
        "dtype": "torch_dtype",
    }
)
"""MindFormers' other names for a key (its ``COMMON_CONFIG_MAPPING``), as YAML files use them."""


@dataclass(frozen=True)
class ConfigSchema:
    """What the config of one kind of model may say.

    Attributes:
        model_type: ``model_type`` in config.json.
        architecture: What ``architectures`` lists.
        title: What it is called in messages.
        fields: Keys that are always passed on, with HuggingFace's default where config.json has none.
        shape_fields: The fields that the weights themselves can confirm or contradict.
        neutral: Keys that change the output unless they have one of these values; refused otherwise.
        harmless: Keys that can't change the output; dropped silently.
        unverifiable: Fields that nothing but config.json can tell, as the weights do not.
    """

    model_type: str
    architecture: str
    title: str
    fields: Mapping[str, Field]
    shape_fields: tuple[str, ...]
    neutral: Mapping[str, tuple[Any, ...]]
    harmless: frozenset[str]
    unverifiable: tuple[str, ...]


_UNVERIFIABLE = ("rope_theta", "rope_scaling", "rms_norm_eps")

QWEN3 = ConfigSchema(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    title="Qwen3",
    fields=FIELDS,
    shape_fields=SHAPE_FIELDS,
    neutral=NEUTRAL,
    harmless=HARMLESS,
    unverifiable=_UNVERIFIABLE,
)

QWEN3_MOE = ConfigSchema(
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    title="a Qwen3 mixture of experts",
    fields=MappingProxyType(
        {
            **FIELDS,
            "hidden_size": _size(2048),
            "intermediate_size": _size(6144),
            "num_hidden_layers": _size(24),
            "num_key_value_heads": _size(4),
            # transformers: hidden_size / num_attention_heads, unlike the dense model's.
            "head_dim": Field(None, _dimension, "a whole number, at least 1"),
            "num_experts": _size(128),
            "num_experts_per_tok": _size(8),
            "moe_intermediate_size": _size(768),
            "norm_topk_prob": Field(False, _flag, "true or false"),
        }
    ),
    shape_fields=(*SHAPE_FIELDS, "num_experts", "moe_intermediate_size"),
    neutral=MappingProxyType(
        {name: values for name, values in NEUTRAL.items() if name != "num_experts"}
        # MindFormers makes every layer a mixture of experts, whatever these say.
        | {"decoder_sparse_step": (1,), "mlp_only_layers": ([], None)}
    ),
    harmless=HARMLESS | {"output_router_logits", "router_aux_loss_coef"},
    unverifiable=(*_UNVERIFIABLE, "num_experts_per_tok", "norm_topk_prob"),
)

SCHEMAS: Mapping[str, ConfigSchema] = MappingProxyType({schema.model_type: schema for schema in (QWEN3, QWEN3_MOE)})
"""By model_type."""


def find_schema(raw: Mapping[str, Any]) -> ConfigSchema | None:
    """Return the schema of a raw config: by its model_type, else by its architectures; None if it is no Qwen3's."""
    model_type, architectures = raw.get("model_type"), raw.get("architectures")
    if isinstance(model_type, str) and model_type in SCHEMAS:
        return SCHEMAS[model_type]
    names = architectures if isinstance(architectures, list) else []
    return next((schema for schema in SCHEMAS.values() if schema.architecture in names), None)
