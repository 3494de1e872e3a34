"""What can be wrong with a HuggingFace directory that is fine-tuned, as data: for the tests, and the documents' table.

Each fault breaks a good directory (``write_checkpoint(directory, shards=SHARDS)``) in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.breaking import (
    FIRST,
    HEAD,
    SECOND,
    THIRD,
    biases,
    config_with,
    dropping,
    file_bytes,
    fp8,
    index,
    lora,
    weights,
    without_file,
)
from tests.support.checkpoints import Raw, Tensors, random_tensors, read_json, write_safetensors

from mf_qwen3_patch.errors import CODES

LAYER = "model.layers.0."


@dataclass(frozen=True)
class FinetuningFault:
    """One way to break a directory, and the error that it must be; none if it can be loaded all the same."""

    title: str
    make: Callable[[Path], object]
    error: str = ""
    says: tuple[str, ...] = ()
    model_config: dict[str, Any] = field(default_factory=dict)
    config_elsewhere: bool = False  # the network is built from the config.json of a sound directory

    @property
    def code(self) -> str:
        """The code of the error."""
        return CODES[self.error] if self.error else ""


def poison(tensors: Tensors) -> None:
    name = f"{LAYER}mlp.up_proj.weight"
    raw = tensors[name]
    tensors[name] = Raw(raw.dtype, raw.shape, b"\x00\x00\xc0\x7f" + raw.data[4:])


def _stray(directory: Path) -> None:
    """An older file of the same model lies beside the shards; its name is the last one."""
    older = random_tensors(read_json(directory / "config.json"), "F32", seed=1)
    write_safetensors(directory / "older.safetensors", older)


def _wrong_file(weight_map: dict[str, Any]) -> None:
    name = f"{LAYER}self_attn.o_proj.weight"
    weight_map[name] = next(file for file in (FIRST, SECOND, THIRD) if file != weight_map[name])


def _nothing(directory: Path) -> None:
    """Leave it sound."""


def _missing(part: str) -> Callable[[Path], object]:
    return weights(dropping(part))


_INCOMPLETE, _MISMATCH, _UNSUPPORTED = "IncompleteCheckpoint", "ConfigMismatch", "UnsupportedCheckpoint"

FAULTS = (
    FinetuningFault("sound", _nothing),
    FinetuningFault("sound, `qkv_concat: False`", _nothing, model_config={"qkv_concat": False}),
    FinetuningFault("sound, config.json of transformers 5",
        config_with("rope_theta", "torch_dtype", dtype="float32",
            rope_parameters={"rope_theta": 1000000, "rope_type": "default"}, layer_types=["full_attention"] * 2)),
    *(
        FinetuningFault(f"a missing {part}_proj", _missing(f"{LAYER}self_attn.{part}_proj"),
            _INCOMPLETE, (f"{LAYER}self_attn.{part}_proj.weight",))
        for part in "qkv"
    ),
    *(
        FinetuningFault(f"a missing {part}_proj", _missing(f"{LAYER}mlp.{part}_proj"),
            _INCOMPLETE, (f"{LAYER}mlp.{part}_proj.weight",))
        for part in ("gate", "up", "down")
    ),
    FinetuningFault("a missing norm", _missing(f"{LAYER}input_layernorm"), _INCOMPLETE,
        (f"{LAYER}input_layernorm.weight",)),
    FinetuningFault("a missing lm_head", _missing(HEAD), _MISMATCH, ("tie_word_embeddings: false", HEAD)),
    FinetuningFault("a missing shard", without_file(SECOND), _INCOMPLETE, (SECOND,)),
    FinetuningFault("more layers in config.json than in the weights", config_with(num_hidden_layers=3),
        _MISMATCH, ("num_hidden_layers: 3", "weights say 2")),
    FinetuningFault("fewer layers in config.json than in the weights", config_with(num_hidden_layers=1),
        _MISMATCH, ("num_hidden_layers: 1", "weights say 2")),
    FinetuningFault("another `num_layers` in the YAML", _nothing, _MISMATCH,
        ("num_hidden_layers: 1", "weights say 2", "the network's config"), {"num_layers": 1}),
    FinetuningFault("NaN in a tensor", weights(poison), "InvalidValues", (f"{LAYER}mlp.up_proj.weight",)),
    FinetuningFault("a stray older file beside the shards", _stray),
    FinetuningFault("biases", weights(biases), _MISMATCH, ("attention_bias: false", "q_proj.bias")),
    FinetuningFault("a LoRA adapter alone", lora, _UNSUPPORTED, ("LoRA",), config_elsewhere=True),
    FinetuningFault("a wrong file in the index", index(_wrong_file), "CorruptCheckpoint", ("o_proj",)),
    FinetuningFault("FP8", weights(fp8), _UNSUPPORTED, ("up_proj.weight_scale_inv",)),
    FinetuningFault("another number of key/value heads", config_with(num_key_value_heads=4), _MISMATCH,
        ("num_key_value_heads: 4",)),
    FinetuningFault("a truncated file", file_bytes(FIRST, lambda data: data[:-100]), "CorruptCheckpoint", (FIRST,)),
)  # fmt: skip
