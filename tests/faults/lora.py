"""Ways to break a LoRA adapter, and what must be said of each; the adapter is of a sound model with three shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkpoints import Raw, Tensors, decode, encode, zeros
from tests.support.lora import PREFIX, WEIGHTS, edit_adapter, edit_adapter_config

from mf_qwen3_patch.errors import (
    CheckpointError,
    ConfigMismatch,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    InvalidValues,
    UnsupportedCheckpoint,
)

_MODULE = f"{PREFIX}model.layers.0.self_attn.q_proj"
_A, _B = f"{_MODULE}.lora_A.weight", f"{_MODULE}.lora_B.weight"


@dataclass(frozen=True)
class AdapterFault:
    """One way to break an adapter: the type of the one problem, and what it must say."""

    name: str
    make: Callable[[Path], object]
    error: type[CheckpointError]
    says: tuple[str, ...]


def settings(**changes: Any) -> Callable[[Path], object]:
    return lambda adapter: edit_adapter_config(adapter, **changes)


def tensors(change: Callable[[Tensors], object]) -> Callable[[Path], object]:
    return lambda adapter: edit_adapter(adapter, change)


def adding(**more: Raw) -> Callable[[Path], object]:
    return tensors(lambda found: found.update(more))


def _second_adapter(found: Tensors) -> None:
    found[f"{_MODULE}.lora_A.other.weight"] = found[_A]
    found[f"{_MODULE}.lora_B.other.weight"] = found[_B]


def _as_pickle(adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")


def _truncated(adapter: Path) -> None:
    content = (adapter / WEIGHTS).read_bytes()
    (adapter / WEIGHTS).write_bytes(content[:-100])


def _empty(found: Tensors) -> None:
    found.clear()


# fmt: off
FAULTS = (
    AdapterFault("another type", settings(peft_type="IA3"), UnsupportedCheckpoint, ("peft_type", "IA3", "merge_and_unload")),
    AdapterFault("prompt tuning", settings(peft_type="PROMPT_TUNING"), UnsupportedCheckpoint, ("PROMPT_TUNING",)),
    AdapterFault("a type that is no name", settings(peft_type=7), UnsupportedCheckpoint, ("peft_type", "7")),
    AdapterFault("DoRA", settings(use_dora=True), UnsupportedCheckpoint, ("DoRA", "use_dora", "merge_and_unload")),
    AdapterFault("DoRA by its tensors", adding(**{f"{_MODULE}.lora_magnitude_vector": zeros(128)}),
                 UnsupportedCheckpoint, ("lora_magnitude_vector",)),
    AdapterFault("PiSSA", settings(init_lora_weights="pissa_niter_4"), UnsupportedCheckpoint,
                 ("pissa_niter_4", "path_initial_model_for_weight_conversion")),
    AdapterFault("OLoRA", settings(init_lora_weights="olora"), UnsupportedCheckpoint, ("olora", "changes the base model")),
    AdapterFault("a beginning that is no name", settings(init_lora_weights=["x"]), UnsupportedCheckpoint,
                 ("init_lora_weights",)),
    AdapterFault("parameters", settings(target_parameters=["mlp.experts.down_proj"]), UnsupportedCheckpoint,
                 ("target_parameters",)),
    AdapterFault("trained tokens", settings(trainable_token_indices=[1, 2]), UnsupportedCheckpoint,
                 ("trainable_token_indices",)),
    AdapterFault("replicated layers", settings(layer_replication=[[0, 2], [1, 2]]), UnsupportedCheckpoint,
                 ("layer_replication",)),
    AdapterFault("biases", settings(bias="all"), UnsupportedCheckpoint, ("bias", "all")),
    AdapterFault("several adapters in one file", tensors(_second_adapter), UnsupportedCheckpoint,
                 ("several adapters", "default, other")),
    AdapterFault("pickle", _as_pickle, UnsupportedCheckpoint, ("adapter_model.bin", "safe_serialization=True")),
    AdapterFault("no lora_A", tensors(lambda found: found.pop(_A)), IncompleteCheckpoint, (_A, "in no file")),
    AdapterFault("no lora_B", tensors(lambda found: found.pop(_B)), IncompleteCheckpoint, (_B, "in no file")),
    AdapterFault("no tensor of a target",
                 lambda adapter: (edit_adapter_config(adapter, target_modules=["q_proj"]),
                                  edit_adapter(adapter, lambda found: (found.pop(_A), found.pop(_B)))),
                 IncompleteCheckpoint, ("model.layers.0.self_attn.q_proj", "neither lora_A nor lora_B")),
    AdapterFault("no tensors", tensors(_empty), IncompleteCheckpoint, (WEIGHTS, "no tensor")),
    AdapterFault("truncated", _truncated, CorruptCheckpoint, (WEIGHTS,)),
    AdapterFault("another rank in the config", settings(r=8), ConfigMismatch, ("rank 8", "field r", "13 more")),
    AdapterFault("another rank in a pattern", settings(rank_pattern={"q_proj": 2}), ConfigMismatch, ("rank 2", "1 more")),
    AdapterFault("factors of different ranks", adding(**{_B: zeros(128, 3)}), ConfigMismatch, (_A, _B, "[128, 3]")),
    AdapterFault("another base's shapes", adding(**{_A: zeros(4, 96)}), ConfigMismatch,
                 ("model.layers.0.self_attn.q_proj.weight", "[128, 80]", "[128, 4] x [4, 96]")),
    AdapterFault("another base's layers",
                 adding(**{_A.replace(".0.", ".9."): zeros(4, 80), _B.replace(".0.", ".9."): zeros(128, 4)}),
                 ConfigMismatch, ("model.layers.9.self_attn.q_proj.weight", "does not have")),
    AdapterFault("a resized vocabulary", adding(**{f"{PREFIX}lm_head.weight": zeros(170, 80)}), ConfigMismatch,
                 ("lm_head.weight", "[170, 80]", "[160, 80]")),
    AdapterFault("integers", adding(**{_A: zeros(4, 80, dtype="I8")}), CorruptCheckpoint, (_A, "I8")),
    AdapterFault("a rank that is no number", settings(r="8"), ConfigMismatch, ("field r", '"8"')),
    AdapterFault("a rank of 0", settings(r=0), ConfigMismatch, ("field r", "0")),
    AdapterFault("an alpha that is no number", settings(lora_alpha=None), ConfigMismatch, ("lora_alpha", "none")),
    AdapterFault("a pattern that is none", settings(alpha_pattern={"(": 2}), ConfigMismatch, ("alpha_pattern",)),
    AdapterFault("patterns that are no map", settings(rank_pattern=[1]), ConfigMismatch, ("rank_pattern", "[1]")),
    AdapterFault("a flag that is none", settings(use_rslora="yes"), ConfigMismatch, ("use_rslora", '"yes"')),
    AdapterFault("a damaged config", lambda adapter: (adapter / "adapter_config.json").write_text("{"),
                 CorruptCheckpoint, ("adapter_config.json",)),
)
# fmt: on
"""What ``check`` must find."""


def _filled(value: float) -> Callable[[Path], object]:
    def change(found: Tensors) -> None:
        values = decode(found[_B]).copy()
        values[-1, -1] = value
        found[_B] = encode(values, "F32")

    return tensors(change)


# fmt: off
VALUE_FAULTS = (
    AdapterFault("a NaN in a factor", _filled(float("nan")), InvalidValues, (_B, "NaN or infinite")),
    AdapterFault("an infinity in a factor", _filled(float("inf")), InvalidValues, (_B, "NaN or infinite")),
)
# fmt: on
"""What only the values show."""
