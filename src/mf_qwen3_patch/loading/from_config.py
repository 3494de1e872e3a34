"""``AutoModel.from_config``: the inference network of a config object, without weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.checks.rotary_tables import rotary_tables
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.registry import FAMILIES
from mf_qwen3_patch.loading.config_argument import GivenConfig
from mf_qwen3_patch.loading.keywords import config_overrides, refuse_beside_config, requested_dtype, warn_of_remote_code
from mf_qwen3_patch.loading.runtime.context import device_kind, ensure_inference_context, join_other_ranks
from mf_qwen3_patch.loading.runtime.dtypes import choose_dtypes, dtype_name
from mf_qwen3_patch.loading.runtime.log import say
from mf_qwen3_patch.loading.runtime.network import build_model
from mf_qwen3_patch.loading.runtime.room import refuse_without_room

_STRETCHED = {"factor", "original_max_position_embeddings"}  # of yarn


def build_from_config(
    config: Any,
    *,
    torch_dtype: Any = None,
    dtype: Any = None,
    ms_dtype: Any = None,
    trust_remote_code: bool | None = None,
    **keywords: Any,
) -> Any:
    """Build the inference network that a Qwen3 config object of MindFormers or transformers describes.

    Its parameters hold nothing yet: its ``load_weights`` loads them. The dtype keywords, and the errors for unknown
    ones, are those of ``load_pretrained``; a config field is set in the config.
    """
    warn_of_remote_code(trust_remote_code)
    given = GivenConfig.of(config)
    family = given.family or QWEN3
    refuse_beside_config(config_overrides(keywords, family))
    join_other_ranks()
    ensure_inference_context()
    requested, device = requested_dtype(dtype, torch_dtype, ms_dtype), device_kind()
    own = getattr(config, "params_dtype", None) or getattr(config, "torch_dtype", None) or "float32"
    choice = choose_dtypes(dtype_name(own), requested, given.dtypes(requested, device), device=device)
    scaling = given.values.get("rope_scaling") or {}
    tables = rotary_tables(
        {
            "max_position_embeddings": config.max_position_embeddings,
            "head_dim": given.values["head_dim"],
            "rope_scaling": scaling if scaling.keys() >= _STRETCHED else None,
        }
    )
    refuse_without_room(tables, Path(config.name_or_path or "config"))
    model = build_model(given.build(given.values, choice, family), family)
    model.set_train(False)
    say("built from a config, without weights: load_weights(DIR) loads them; from_pretrained(DIR) does both")
    return model


def is_qwen3_config(config: object) -> bool:
    """Return whether it is a config object of MindFormers or transformers for a model of a known family."""
    if any(isinstance(config, family.load(family.config_class)) for family in FAMILIES.values()):
        return True
    return type(config).__module__.startswith("transformers.") and getattr(config, "model_type", None) in FAMILIES
