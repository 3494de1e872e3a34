"""Makes small, valid HuggingFace Qwen3 directories, and breaks them; numpy only, no torch.

The files are written by hand, byte by byte, so that a test can also write what no library would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

INDEX = "model.safetensors.index.json"

# All axes have different lengths, so that no wrong field can pass for another.
TINY: dict[str, Any] = {
    "vocab_size": 160,
    "hidden_size": 80,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}

QWEN3_14B: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 5120,
    "intermediate_size": 17408,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
}

# What makes a mixture of experts of the above, all axes of different lengths again.
TINY_MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "output_router_logits": False,
    "router_aux_loss_coef": 0.001,
}

_REST: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "max_window_layers": 2,
    "model_type": "qwen3",
    "rms_norm_eps": 1e-06,
    "sliding_window": None,
    "use_cache": True,
    "use_sliding_window": False,
}

_CONFIG_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_ELEMENT_BYTES = {"F64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1}


@dataclass(frozen=True)
class Raw:
    """A tensor as it is stored."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


Tensors = dict[str, Raw]


def make_config(*, dialect: str = "4.51", dtype: str = "F32", tie: bool = False, **overrides: Any) -> dict[str, Any]:
    """Return a config.json as transformers 4.51, 4.57 or 5 writes it."""
    config = {**_REST, **TINY, "tie_word_embeddings": tie, **overrides}
    layer_types = ["full_attention"] * config["num_hidden_layers"]
    if dialect == "4.51":
        config |= {"torch_dtype": _CONFIG_DTYPES[dtype], "rope_theta": 1000000, "rope_scaling": None}
        config |= {"transformers_version": "4.51.3"}
    elif dialect == "4.57":
        config |= {"dtype": _CONFIG_DTYPES[dtype], "rope_theta": 1000000, "rope_scaling": None}
        config |= {"layer_types": layer_types, "transformers_version": "4.57.1"}
    elif dialect == "5":
        config |= {"dtype": _CONFIG_DTYPES[dtype], "layer_types": layer_types, "pad_token_id": None}
        config |= {"rope_parameters": {"rope_theta": 1000000, "rope_type": "default"}}
        config |= {"transformers_version": "5.0.0"}
    else:
        raise ValueError(f"unknown dialect {dialect!r}")
    return config | overrides


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes as Qwen3ForCausalLM and Qwen3MoeForCausalLM save them; stated apart from the code under test."""
    hidden, inter, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        shapes |= {
            prefix + "input_layernorm.weight": (hidden,),
            **_mlp_shapes(config, prefix + "mlp.", hidden, inter),
            prefix + "post_attention_layernorm.weight": (hidden,),
            prefix + "self_attn.k_norm.weight": (dim,),
            prefix + "self_attn.k_proj.weight": (kv, hidden),
            prefix + "self_attn.o_proj.weight": (hidden, q),
            prefix + "self_attn.q_norm.weight": (dim,),
            prefix + "self_attn.q_proj.weight": (q, hidden),
            prefix + "self_attn.v_proj.weight": (kv, hidden),
        }
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def _mlp_shapes(config: Mapping[str, Any], prefix: str, hidden: int, inter: int) -> dict[str, tuple[int, ...]]:
    if "num_experts" not in config:
        return {
            prefix + "down_proj.weight": (hidden, inter),
            prefix + "gate_proj.weight": (inter, hidden),
            prefix + "up_proj.weight": (inter, hidden),
        }
    shapes: dict[str, tuple[int, ...]] = {prefix + "gate.weight": (config["num_experts"], hidden)}
    for expert in range(config["num_experts"]):
        shapes |= _mlp_shapes({}, f"{prefix}experts.{expert}.", hidden, config["moe_intermediate_size"])
    return shapes


def encode(values: np.ndarray, dtype: str) -> Raw:
    """Store float32 values as F32, F16 or BF16 (rounded to nearest even)."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if dtype == "F32":
        data = values.tobytes()
    elif dtype == "F16":
        data = values.astype(np.float16).tobytes()
    elif dtype == "BF16":
        bits = values.view(np.uint32)
        rounded = bits + (((bits >> 16) & 1) + 0x7FFF)
        data = (rounded >> 16).astype(np.uint16).tobytes()
    else:
        raise ValueError(f"can't encode {dtype}")
    return Raw(dtype, values.shape, data)


def decode(raw: Raw) -> np.ndarray:
    """Return stored F32, F16 or BF16 values as float32."""
    if raw.dtype == "BF16":
        bits = np.frombuffer(raw.data, np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(raw.shape)
    kind = {"F32": np.float32, "F16": np.float16}[raw.dtype]
    return np.frombuffer(raw.data, kind).astype(np.float32).reshape(raw.shape)


def random_tensors(config: Mapping[str, Any], dtype: str, seed: int) -> Tensors:
    """Random values: matrices around 0, norms around 1."""
    generator = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, shape in tensor_shapes(config).items():
        values = generator.standard_normal(shape, dtype=np.float32) * 0.05
        tensors[name] = encode(values + 1 if len(shape) == 1 else values, dtype)
    return tensors


def header_bytes(tensors: Mapping[str, Raw] | Mapping[str, Any], metadata: object = None) -> bytes:
    """Return length and JSON header of a file that holds ``tensors`` in their order."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    position = 0
    for name, raw in tensors.items():
        end = position + len(raw.data)
        header[name] = {"dtype": raw.dtype, "shape": list(raw.shape), "data_offsets": [position, end]}
        position = end
    return with_length(json.dumps(header).encode())


def with_length(text: bytes) -> bytes:
    """Put the length in front of a header's JSON, padded to 8 bytes as the format asks for."""
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_safetensors(path: Path, tensors: Mapping[str, Raw]) -> None:
    """Write one file."""
    path.write_bytes(header_bytes(tensors, {"format": "pt"}) + b"".join(raw.data for raw in tensors.values()))


def read_safetensors(path: Path) -> Tensors:
    """Read one sound file back."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {
        name: Raw(
            entry["dtype"],
            tuple(entry["shape"]),
            content[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
        )
        for name, entry in header.items()
    }


def shard_name(number: int, total: int) -> str:
    """Return the name of shard ``number``, counted from 1."""
    return f"model-{number:05d}-of-{total:05d}.safetensors"


def split(names: list[str], shards: int) -> list[list[str]]:
    """Split names into ``shards`` runs of about the same number."""
    bounds = [round(number * len(names) / shards) for number in range(shards + 1)]
    return [names[start:end] for start, end in pairwise(bounds)]


def write_weights(directory: Path, tensors: Mapping[str, Raw], shards: int = 1) -> None:
    """Write the weights as one file, or as shards with an index."""
    if shards == 1:
        write_safetensors(directory / "model.safetensors", tensors)
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(split(list(tensors), shards), start=1):
        name = shard_name(number, shards)
        write_safetensors(directory / name, {key: tensors[key] for key in names})
        weight_map |= dict.fromkeys(names, name)
    total = sum(len(raw.data) for raw in tensors.values())
    write_json(directory / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_checkpoint(
    directory: Path,
    *,
    dtype: str = "F32",
    shards: int = 1,
    tie: bool = False,
    dialect: str = "4.51",
    seed: int = 0,
    **config_overrides: Any,
) -> Path:
    """Write a tiny, valid HuggingFace Qwen3 directory with random weights.

    Args:
        directory: Where; made if it is not there.
        dtype: F32, F16 or BF16.
        shards: Number of weight files; 1 means model.safetensors without an index.
        tie: Whether the embeddings are tied.
        dialect: Which transformers release writes config.json: 4.51, 4.57 or 5.
        seed: Of the values.
        config_overrides: Put into config.json; the weights are made to match.

    Returns:
        The directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = make_config(dialect=dialect, dtype=dtype, tie=tie, **config_overrides)
    write_json(directory / "config.json", config)
    write_weights(directory, random_tensors(config, dtype, seed), shards)
    return directory


def write_sparse_checkpoint(directory: Path, *, shards: int, dtype: str = "BF16", **config_overrides: Any) -> Path:
    """Write a directory of any size whose weights are holes: true headers and lengths, no disk space."""
    directory.mkdir(parents=True, exist_ok=True)
    config = make_config(dtype=dtype, **config_overrides)
    write_json(directory / "config.json", config)
    shapes = tensor_shapes(config)
    weight_map: dict[str, str] = {}
    for number, names in enumerate(split(list(shapes), shards), start=1):
        header: dict[str, Any] = {}
        position = 0
        for name in names:
            end = position + int(np.prod(shapes[name], dtype=np.int64)) * _ELEMENT_BYTES[dtype]
            header[name] = {"dtype": dtype, "shape": list(shapes[name]), "data_offsets": [position, end]}
            position = end
        file = shard_name(number, shards)
        prefix = with_length(json.dumps(header).encode())
        with (directory / file).open("wb") as stream:
            stream.write(prefix)
            stream.truncate(len(prefix) + position)
        weight_map |= dict.fromkeys(names, file)
    write_json(directory / INDEX, {"metadata": {}, "weight_map": weight_map})
    return directory


def fill_sparse_checkpoint(directory: Path, seed: int = 0) -> None:
    """Write random finite bfloat16 values into the holes, at the speed of the disk: one block, over and over."""
    block = (np.random.default_rng(seed).integers(0, 1 << 16, 999_983, np.uint16) & 0xBF7F).tobytes()
    for file in weight_files(directory):
        with file.open("r+b") as stream:
            left = file.stat().st_size - stream.seek(8 + int.from_bytes(stream.read(8), "little"))
            while left > 0:
                left -= stream.write(block[:left])


def write_json(path: Path, value: object) -> None:
    """Write JSON as HuggingFace does."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def edit_config(directory: Path, *drop: str, **changes: Any) -> None:
    """Change config.json alone; the weights stay."""
    config = read_json(directory / "config.json")
    for key in drop:
        del config[key]
    write_json(directory / "config.json", config | changes)


def edit_index(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the index alone; ``change`` gets the weight_map."""
    index = read_json(directory / INDEX)
    change(index["weight_map"])
    write_json(directory / INDEX, index)


def edit_weights(directory: Path, change: Callable[[Tensors], object]) -> None:
    """Change the tensors of all files and write them back, index included."""
    files = weight_files(directory)
    tensors: Tensors = {}
    for file in files:
        tensors |= read_safetensors(file)
        file.unlink()
    change(tensors)
    write_weights(directory, tensors, len(files))


def weight_files(directory: Path) -> list[Path]:
    """Return the weight files, in order."""
    return sorted(directory.glob("*.safetensors"))


def zeros(*shape: int, dtype: str = "F32") -> Raw:
    """Return a tensor of zeros."""
    count = int(np.prod(shape, dtype=np.int64))
    return Raw(dtype, shape, bytes(count * _ELEMENT_BYTES[dtype]))
