"""Ways to break a checkpoint directory that ``write_checkpoint(directory, shards=3)`` has made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import (
    INDEX,
    Raw,
    Tensors,
    edit_config,
    edit_index,
    edit_weights,
    encode,
    header_bytes,
    read_json,
    read_safetensors,
    shard_name,
    weight_files,
    with_length,
    write_json,
    write_safetensors,
    zeros,
)

SHARDS = 3
FIRST, SECOND, THIRD = (shard_name(number, SHARDS) for number in (1, 2, 3))
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"

Overrides = dict[str, Any]


def config_with(*drop: str, **changes: Any) -> Callable[[Path], None]:
    """Break config.json."""
    return lambda directory: edit_config(directory, *drop, **changes)


def config_text(text: bytes | str) -> Callable[[Path], None]:
    """Replace config.json."""
    data = text.encode() if isinstance(text, str) else text
    return lambda directory: write_bytes(directory / "config.json", data)


def saying(**overrides: Any) -> Callable[[Path], Overrides]:
    """Leave the directory alone and contradict it."""
    return lambda directory: overrides


def weights(change: Callable[[Tensors], object]) -> Callable[[Path], None]:
    """Break the tensors."""
    return lambda directory: edit_weights(directory, change)


def index(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Break the index's weight_map."""
    return lambda directory: edit_index(directory, change)


def file_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Break one file's bytes."""

    def make(directory: Path) -> None:
        path = directory / name
        path.write_bytes(change(path.read_bytes()))

    return make


def header(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Break one file's header; the data stay."""

    def rewrite(content: bytes) -> bytes:
        start = 8 + int.from_bytes(content[:8], "little")
        entries = json.loads(content[8:start])
        change(entries)
        return with_length(json.dumps(entries).encode()) + content[start:]

    return file_bytes(name, rewrite)


def only(*names: str) -> Callable[[Path], None]:
    """Remove all weights and the index, and put files of other kinds there instead."""

    def make(directory: Path) -> None:
        for file in [*weight_files(directory), directory / INDEX]:
            file.unlink()
        for name in names:
            write_bytes(directory / name, b"\x80\x02")

    return make


def write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def without_file(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def first_entry(entries: dict[str, Any]) -> dict[str, Any]:
    return next(entry for name, entry in entries.items() if name != "__metadata__")


def renaming(change: Callable[[str], str]) -> Callable[[Tensors], None]:
    def rename(tensors: Tensors) -> None:
        renamed = {change(name): raw for name, raw in tensors.items()}
        tensors.clear()
        tensors.update(renamed)

    return rename


def dropping(*parts: str) -> Callable[[Tensors], None]:
    def drop(tensors: Tensors) -> None:
        for name in [name for name in tensors if any(part in name for part in parts)]:
            del tensors[name]

    return drop


def adding(**tensors: Raw) -> Callable[[Tensors], None]:
    return lambda existing: existing.update(tensors)


def directory_for_shard(directory: Path) -> None:
    (directory / SECOND).unlink()
    (directory / SECOND).mkdir()


def broken_link(directory: Path) -> None:
    (directory / SECOND).unlink()
    (directory / SECOND).symlink_to("../../blobs/0123abcd")


def link_loop(directory: Path) -> None:
    # Unreadable for root, too, unlike a file without permissions.
    (directory / SECOND).unlink()
    (directory / SECOND).symlink_to(SECOND)


def fifo(directory: Path) -> None:
    (directory / SECOND).unlink()
    os.mkfifo(directory / SECOND)


def tensor_twice(directory: Path) -> None:
    second = read_safetensors(directory / SECOND)
    second[EMBEDDING] = zeros(*read_safetensors(directory / FIRST)[EMBEDDING].shape)
    write_safetensors(directory / SECOND, second)
    (directory / INDEX).unlink()


def tensor_not_in_its_file(directory: Path) -> None:
    second = read_safetensors(directory / SECOND)
    del second[next(iter(second))]
    write_safetensors(directory / SECOND, second)


def shard_and_index_gone(directory: Path) -> None:
    (directory / SECOND).unlink()
    (directory / INDEX).unlink()


def two_sets(directory: Path) -> None:
    (directory / INDEX).unlink()
    shutil.copy(directory / FIRST, directory / shard_name(1, 8))


def overlap(entries: dict[str, Any]) -> None:
    names = [name for name in entries if name != "__metadata__"]
    for entry in (entries[names[1]], entries[names[2]]):
        begin, end = entry["data_offsets"]
        entry["data_offsets"] = [begin - 4, end - 4]


def gap(directory: Path) -> None:
    tensors = read_safetensors(directory / FIRST)
    text = header_bytes(tensors)
    body = b"".join(raw.data for raw in tensors.values())
    write_bytes(directory / FIRST, text + body)
    names = list(tensors)

    def shift(entries: dict[str, Any]) -> None:
        for name in names[1:]:
            begin, end = entries[name]["data_offsets"]
            entries[name]["data_offsets"] = [begin + 8, end + 8]

    header(FIRST, shift)(directory)
    file_bytes(FIRST, lambda content: content + bytes(8))(directory)


def duplicate_key(directory: Path) -> None:
    text = (directory / "config.json").read_text()
    write_bytes(directory / "config.json", text.replace("{", '{"hidden_size": 64,', 1).encode())


def lora(directory: Path) -> None:
    only()(directory)
    (directory / "config.json").unlink()
    write_json(directory / "adapter_config.json", {"peft_type": "LORA", "r": 8})
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    write_safetensors(directory / "adapter_model.safetensors", {name: zeros(8, 80)})


def lora_weights(directory: Path) -> None:
    lora(directory)
    (directory / "adapter_config.json").unlink()


def lora_beside(*files: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
        for file in files:
            if file.endswith(".json"):
                write_json(directory / file, {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "Qwen/Qwen3-8B"})
            else:
                write_safetensors(directory / file, {name: zeros(8, 80)})

    return change


def lora_in_place(tensors: Tensors) -> None:
    """As a model is saved whose adapter was not merged: every tensor under the wrapper's name, or a layer's own."""
    original = dict(tensors)
    tensors.clear()
    for name, raw in original.items():
        adapted = name.endswith("q_proj.weight")
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        tensors[f"{stem}.base_layer.weight" if adapted else f"{stem}.weight"] = raw
        if adapted:
            tensors[f"{stem}.lora_A.default.weight"] = zeros(8, 80)
            tensors[f"{stem}.lora_B.default.weight"] = zeros(128, 8)


def base_layers(tensors: Tensors) -> None:
    name = "model.layers.0.self_attn.q_proj"
    tensors[f"{name}.base_layer.weight"] = tensors.pop(f"{name}.weight")


def lora_names(tensors: Tensors) -> None:
    tensors.clear()
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"] = zeros(8, 80)
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"] = zeros(128, 8)
    tensors["base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight"] = zeros(8, 80)


def gptq(tensors: Tensors) -> None:
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        stem = name.removesuffix(".weight")
        del tensors[name]
        tensors[f"{stem}.qweight"] = zeros(10, 128, dtype="I32")
        tensors[f"{stem}.scales"] = zeros(1, 128, dtype="F16")


def fp8(tensors: Tensors) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name] = zeros(96, 80, dtype="F8_E4M3")
    tensors[f"{name}_scale_inv"] = zeros(1, 1)


def bitsandbytes(tensors: Tensors) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name] = zeros(3840, 1, dtype="U8")
    tensors[f"{name}.absmax"] = zeros(120)


def merged(tensors: Tensors) -> None:
    tensors.clear()
    tensors["embedding.word_embeddings.weight"] = zeros(160, 80)
    tensors["decoder.layers.0.self_attention.linear_qkv.weight"] = zeros(256, 80)
    tensors["decoder.layers.0.mlp.linear_fc1.weight"] = zeros(192, 80)


def mf_split(tensors: Tensors) -> None:
    tensors.clear()
    tensors["embedding.word_embeddings.weight"] = zeros(160, 80)
    tensors["decoder.layers.0.self_attention.linear_q.weight"] = zeros(128, 80)
    tensors["decoder.layers.0.mlp.gating.weight"] = zeros(96, 80)


def qwen2(tensors: Tensors) -> None:
    dropping("q_norm", "k_norm")(tensors)
    for role, size in (("q", 128), ("k", 64), ("v", 64)):
        tensors[f"model.layers.0.self_attn.{role}_proj.bias"] = zeros(size)


def biases(tensors: Tensors) -> None:
    for layer in range(2):
        tensors[f"model.layers.{layer}.self_attn.q_proj.bias"] = encode(np.full(128, 0.5), "F32")
        tensors[f"model.layers.{layer}.self_attn.o_proj.bias"] = zeros(80)


def sentence_transformers(directory: Path) -> None:
    edit_weights(directory, dropping(HEAD))
    edit_weights(directory, renaming(lambda name: name.removeprefix("model.")))
    write_json(directory / "modules.json", [{"idx": 0, "type": "sentence_transformers.models.Transformer"}])


def sequence_classifier(directory: Path) -> None:
    edit_config(directory, architectures=["Qwen3ForSequenceClassification"])
    edit_weights(directory, dropping(HEAD))
    edit_weights(directory, adding(**{"score.weight": zeros(1, 80)}))


def hidden_third_layer(directory: Path) -> None:
    def add(tensors: Tensors) -> None:
        for name in [name for name in tensors if ".layers.0." in name]:
            tensors[name.replace(".layers.0.", ".layers.2.")] = tensors[name]

    edit_weights(directory, add)


def empty_middle_layer(directory: Path) -> None:
    hidden_third_layer(directory)
    edit_config(directory, num_hidden_layers=3)
    edit_weights(directory, dropping(".layers.1."))


def weight_map_is_a_list(directory: Path) -> None:
    raw = read_json(directory / INDEX)
    write_json(directory / INDEX, raw | {"weight_map": list(raw["weight_map"])})


def no_tensors(directory: Path) -> None:
    only()(directory)
    write_safetensors(directory / "model.safetensors", {})


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def rope(**settings: Any) -> dict[str, Any]:
    return {"rope_scaling": settings}
