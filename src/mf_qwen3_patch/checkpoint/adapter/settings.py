"""The settings of a LoRA adapter: adapter_config.json, as PEFT writes it.

Source: PEFT 0.21, tuners/lora/config.py, tuners/lora/layer.py (``update_layer``) and utils/other.py
(``get_pattern_key``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.files.directory import ADAPTER_CONFIG_NAME
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.config_schema import is_dimension, is_number

MERGE_WITH_PEFT = "merge it into its base model with PEFT's merge_and_unload(), save that, and load the result"
"""The advice for an adapter that can't be merged here."""

_CONVERT = (
    "save the adapter again with save_pretrained(..., path_initial_model_for_weight_conversion=...), which converts it "
    "to one of the original base model; or " + MERGE_WITH_PEFT
)
# How an adapter may begin without changing its base: zeros in B, or values that are trained like any others.
_PLAIN_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")
_Test = Callable[[object], bool]
# Settings that change what the tensors mean, or add tensors of their own, and the value that says they are not used.
_VARIANTS: Mapping[str, str] = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "lora_bias": "a LoRA with biases",
    "alora_invocation_tokens": "an activated LoRA, which works on a part of each prompt only",
    "arrow_config": "Arrow, which chooses among several adapters",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "velora_config": "VeLoRA",
    "layer_replication": "layer replication",
    "target_parameters": "a LoRA of single parameters, as PEFT makes of experts with transformers 5",
    "trainable_token_indices": "trained tokens (trainable_token_indices)",
}


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """The settings that decide what the tensors of an adapter mean."""

    base_model: str | None
    rank: int
    alpha: float
    rank_stabilized: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    targets: tuple[str, ...]  # the ends of module names; empty if they are said otherwise

    def rank_of(self, module: str) -> int:
        """Return the rank of a module, by its name in the base model."""
        return int(_by_pattern(self.rank_pattern, module, self.rank))

    def scaling_of(self, module: str) -> float:
        """Return the factor of a module's update."""
        rank, alpha = self.rank_of(module), float(_by_pattern(self.alpha_pattern, module, self.alpha))
        return alpha / (math.sqrt(rank) if self.rank_stabilized else rank)

    def is_target(self, module: str) -> bool:
        """Return whether the settings certainly name a module."""
        return any(module == target or module.endswith(f".{target}") for target in self.targets)


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def read_settings(config: Mapping[str, Any]) -> tuple[LoraSettings | None, list[Problem]]:
    """Read a raw adapter_config.json; the settings are None if there are problems."""
    kind = config.get("peft_type", "LORA")
    if not isinstance(kind, str) or kind.upper() != "LORA":
        return None, [_unsupported("peft_type", f"is of PEFT's type {kind!r:.40}", kind, "LORA", MERGE_WITH_PEFT)]
    problems = [
        _unsupported(field, f"is {title}", config[field], "an ordinary LoRA", MERGE_WITH_PEFT)
        for field, title in _VARIANTS.items()
        if config.get(field)
    ]
    beginning = config.get("init_lora_weights", True)
    if not isinstance(beginning, (bool, str, type(None))) or beginning not in _PLAIN_BEGINNINGS:
        summary = f"was begun by {beginning!r:.40}, which changes the base model, and is not converted"
        problems.append(
            _unsupported("init_lora_weights", summary, beginning, "an adapter of the original base", _CONVERT)
        )
    if config.get("bias", "none") not in ("none", None):
        problems.append(
            _unsupported("bias", "trains biases, which Qwen3 has not", config["bias"], "none", MERGE_WITH_PEFT)
        )
    rank, alpha = config.get("r", 8), config.get("lora_alpha", 8)
    problems += _wrong("r", rank, is_dimension, "a whole number above 0")
    problems += _wrong("lora_alpha", alpha, is_number, "a number")
    stabilized = config.get("use_rslora") or False
    problems += _wrong("use_rslora", stabilized, lambda value: isinstance(value, bool), "true or false")
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    problems += _wrong("rank_pattern", ranks, _are_patterns(is_dimension), "whole numbers by names or patterns")
    problems += _wrong("alpha_pattern", alphas, _are_patterns(is_number), "numbers by names or patterns")
    if problems:
        return None, problems
    base, targets = config.get("base_model_name_or_path"), config.get("target_modules")
    narrowed = any(config.get(key) for key in ("exclude_modules", "layers_to_transform", "layers_pattern"))
    plain = isinstance(targets, list) and all(isinstance(target, str) for target in targets) and not narrowed
    names = tuple(targets) if plain and targets else ()
    base = base if isinstance(base, str) and base else None
    return LoraSettings(base, rank, alpha, stabilized, ranks, alphas, names), []


def _are_patterns(is_value: _Test) -> _Test:
    def test(found: object) -> bool:
        if not isinstance(found, dict) or not all(map(is_value, found.values())):
            return False
        try:
            return all(re.compile(key) for key in found)
        except (re.error, OverflowError):
            return False

    return test


def _wrong(field: str, found: object, test: _Test, expected: str) -> list[Problem]:
    if test(found):
        return []
    advice = "put the adapter_config.json back that belongs to this adapter"
    summary = f"{ADAPTER_CONFIG_NAME} has a {field} that a LoRA adapter can't have"
    where = {
        "file": ADAPTER_CONFIG_NAME,
        "field": field,
        "expected": expected,
        "found": "none" if found is None else short_json(found),
    }
    return [Problem(ConfigMismatch, summary, **where, advice=advice)]


def _unsupported(field: str, what: str, found: object, expected: str, advice: str) -> Problem:
    where = {
        "file": ADAPTER_CONFIG_NAME,
        "field": field,
        "expected": expected,
        "found": "none" if found is None else short_json(found),
    }
    return Problem(UnsupportedCheckpoint, f"the adapter {what}, and is not merged here", **where, advice=advice)
