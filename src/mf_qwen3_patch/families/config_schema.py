"""The language in which a family's config is described: fields, neutral and harmless keys, aliases.

Explicit lists, on purpose: stock MindFormers refuses keys that it does not know, and HuggingFace adds new ones with
every release, so each key must be carried over, dropped, or refused by name. HuggingFace's own model is the judge:

- A key that it reads is a field (carried over), or neutral (refused unless it has the one value that MindFormers
  computes with), or known to be harmless. A test holds these lists against its source.
- A key that only other models or other people's Qwen3 read, and that would change what those compute (soft capping,
  scaling factors, extra biases), is neutral, too: such a checkpoint was not made for HuggingFace's Qwen3.
- Any other key can't change the output. It is ignored, as there, with one warning that names it, unless its value
  says "none of it": null, false, 0 or empty.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mf_qwen3_patch.families.tensors import ModelDims


@dataclass(frozen=True, slots=True)
class Field:
    """A config key that decides the output, with the values that are usable, and how a message describes those."""

    default: Any  # HuggingFace's (transformers' Qwen3Config) where the key is absent; None if other fields imply it
    valid: Callable[[Any], bool]
    wanted: str


def is_dimension(value: Any) -> bool:
    """Return whether ``value`` is a size of a tensor."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def is_even_dimension(value: Any) -> bool:
    """Return whether ``value`` is a size of a tensor whose elements come in pairs, as rotary embedding turns them."""
    return is_dimension(value) and value % 2 == 0


def is_positive(value: Any) -> bool:
    """Return whether ``value`` is a number above 0 that a float can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def is_number(value: Any) -> bool:
    """Return whether ``value`` is 0, or a finite number above it."""
    return value == 0 or is_positive(value)


def is_probability(value: Any) -> bool:
    """Return whether ``value`` is 0, or a number between 0 and 1."""
    return is_number(value) and value < 1


def is_flag(value: Any) -> bool:
    """Return whether ``value`` is a boolean."""
    return isinstance(value, bool)


def size(default: int | None) -> Field:
    """Return the field of a dimension with HuggingFace's default; None if it follows from other fields."""
    return Field(default, is_dimension, "a whole number, at least 1")


def even_size(default: int | None) -> Field:
    """Return the same of a dimension whose elements come in pairs."""
    return Field(default, is_even_dimension, "an even whole number, at least 2")


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
        "num_labels",
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
"""The values of ``torch_dtype`` (``dtype`` since transformers 4.56)."""

ALIASES: Mapping[str, str] = {
    alias: name
    for name, aliases in {
        "num_hidden_layers": ("num_layers", "n_layer"),
        "num_attention_heads": ("num_heads", "n_head"),
        "num_key_value_heads": ("n_kv_heads", "num_query_groups"),
        "intermediate_size": ("ffn_hidden_size",),
        "head_dim": ("kv_channels",),
        "rms_norm_eps": ("layernorm_epsilon", "layer_norm_epsilon"),
        "rope_theta": ("theta", "rotary_base"),
        "attention_bias": ("qkv_has_bias", "add_qkv_bias"),
        "initializer_range": ("init_method_std",),
        "moe_intermediate_size": ("moe_ffn_hidden_size",),
        "num_experts_per_tok": ("moe_router_topk",),
        "num_experts": ("num_moe_experts", "n_routed_experts", "expert_num", "num_local_experts"),
        "torch_dtype": ("dtype",),
    }.items()
    for alias in aliases
}
"""MindFormers' other names for a key (its ``COMMON_CONFIG_MAPPING``), as YAML files use them."""


@dataclass(frozen=True)
class ConfigSchema:
    """The keys that the config of a family may have."""

    fields: Mapping[str, Field]  # always passed on, with HuggingFace's default where config.json has none
    neutral: Mapping[str, tuple[Any, ...]]  # change the output unless they have one of these values; else refused
    harmless: frozenset[str]  # can't change the output; dropped silently
    unverifiable: tuple[str, ...]  # fields that nothing but config.json can tell, as the weights do not
    renamed: Mapping[str, str] = field(default_factory=dict)  # transformers' other names for a key, as it saves them

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The fields that the weights themselves can confirm or contradict."""
        return tuple(dimension.name for dimension in fields(ModelDims) if dimension.name in self.fields)
