"""Mutated directories: a sound checkpoint with one to three things changed, some of them harmless, the same for a seed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.checkpoints import (
    INDEX,
    Raw,
    edit_config,
    edit_index,
    edit_weights,
    read_json,
    read_safetensors,
    weight_files,
    write_checkpoint,
    write_json,
)
from tests.support.processes import ROOT, run_script

from mf_qwen3_patch.errors import CODES

PROMPT = (5, 17, 31, 44, 60)
NEW_TOKENS = 8
SOURCES = [ROOT / "tests/reference_data/checkpoints" / name for name in ("sharded", "tied", "bf16", "yarn", "moe")]

REFUSED, SAME, ALONE, CLOSE = "refused", "same tokens", "only the shim loads it", "too close to tell"
WARNED, SILENT, FOREIGN = "other tokens, with a warning", "silent", "foreign"
_CLOSE = 1e-3  # a lead of the best logit over the second that other arithmetic may turn round

_SHIM = """
import json, sys, warnings
from pathlib import Path
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
from tests.support.mutations import NEW_TOKENS, PROMPT, mutated

found = {}
for seed, directory in mutated(Path(sys.argv[1]), json.loads(sys.argv[2])):
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = mf_qwen3_patch.load_pretrained(directory, torch_dtype="float32")
        tokens = model.generate([list(PROMPT)], max_new_tokens=NEW_TOKENS, do_sample=False)[0]
        warned = any(issubclass(warning.category, mf_qwen3_patch.CheckpointWarning) for warning in caught)
        found[seed] = [[int(token) for token in tokens[len(PROMPT):]], warned]
    except mf_qwen3_patch.Qwen3PatchError as error:
        found[seed] = error.code
    except Exception as error:
        found[seed] = f"{type(error).__name__}: {error}"
give(found)
"""

Mutation = Callable[[Path, random.Random], object]

_VALUES: dict[str, Sequence[Any]] = {
    "rope_theta": [1, 500.0, 10000, 1000000, 5e6, 0, -1, None, "10000"],
    "rms_norm_eps": [1e-6, 1e-5, 1e-3, 0.5, 0, None],
    "num_attention_heads": [1, 2, 4, 8, 16, 0],
    "num_key_value_heads": [1, 2, 4, 8, None, 3],
    "head_dim": [4, 8, 16, 32, 7, None],
    "hidden_size": [16, 32, 64, 33],
    "intermediate_size": [24, 48, 96, 0],
    "num_hidden_layers": [1, 2, 3, 0, -1],
    "vocab_size": [95, 96, 97, 128],
    "hidden_act": ["silu", "gelu", "relu", "swish", None],
    "attention_bias": [True, False, None],
    "tie_word_embeddings": [True, False, None],
    "use_sliding_window": [True, False],
    "sliding_window": [None, 2, 4096],
    "max_position_embeddings": [16, 128, 40960],
    "eos_token_id": [0, 1, [1, 2], None, 95],
    "model_type": ["qwen3", "qwen2", "llama", "qwen3_moe"],
    "architectures": [["Qwen3ForCausalLM"], ["Qwen2ForCausalLM"], [], None],
    "torch_dtype": ["float32", "bfloat16", "float16", "int8", None],
    "rope_scaling": [
        None,
        {"rope_type": "default"},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64},
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "dynamic", "factor": 2.0},
    ],
    "layer_types": [None, ["full_attention"] * 2, ["sliding_attention", "full_attention"]],
    "num_experts_per_tok": [1, 2, 3],
    "norm_topk_prob": [True, False],
    "initializer_range": [0.02, 1.0],
    "dtype": ["float32", "bfloat16"],
    "rope_parameters": [{"rope_type": "default", "rope_theta": 10000.0}, None],
    "quantization_config": [None, {"quant_method": "fp8"}],
}


def _field(directory: Path, chance: random.Random) -> None:
    field = chance.choice(sorted(_VALUES))
    edit_config(directory, **{field: chance.choice(_VALUES[field])})


def _lost_field(directory: Path, chance: random.Random) -> None:
    edit_config(directory, chance.choice(sorted(read_json(directory / "config.json"))))


def _tensors(change: Callable[[dict[str, Raw], str, random.Random], object]) -> Mutation:
    """Change the tensors, of which one is named by chance."""

    def mutate(directory: Path, chance: random.Random) -> None:
        edit_weights(directory, lambda tensors: change(tensors, chance.choice(sorted(tensors)), chance))

    return mutate


def _transposed(tensors: dict[str, Raw], name: str, _: random.Random) -> None:
    tensors[name] = replace(tensors[name], shape=tensors[name].shape[::-1])


def _exchanged(tensors: dict[str, Raw], name: str, chance: random.Random) -> None:
    """Exchange two tensors of the same shape: HuggingFace loads that, too, and gives other tokens."""
    alike = sorted(other for other in tensors if tensors[other].shape == tensors[name].shape)
    other = chance.choice(alike)
    tensors[name], tensors[other] = tensors[other], tensors[name]


def _changed_bytes(tensors: dict[str, Raw], name: str, chance: random.Random) -> None:
    data = bytearray(tensors[name].data)
    start = chance.randrange(len(data))
    data[start : start + 40] = chance.randbytes(len(data[start : start + 40]))
    tensors[name] = replace(tensors[name], data=bytes(data))


def _renamed(tensors: dict[str, Raw], name: str, chance: random.Random) -> None:
    other = chance.choice([name.removeprefix("model."), f"module.{name}", name.replace(".1.", ".2."), name + "_old"])
    tensors[other] = tensors.pop(name)


def _shortened(tensors: dict[str, Raw], name: str, _: random.Random) -> None:
    raw = tensors[name]
    rows = raw.shape[0] - 1
    tensors[name] = replace(raw, shape=(rows, *raw.shape[1:]), data=raw.data[: len(raw.data) // raw.shape[0] * rows])


def _bytes_of_a_file(directory: Path, chance: random.Random) -> None:
    path = chance.choice([*weight_files(directory), *sorted(directory.glob("*.json"))])
    content = bytearray(path.read_bytes())
    if not content:
        return
    start = chance.randrange(min(len(content), 600))
    content[start : start + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
    path.write_bytes(content)


def _truncated(directory: Path, chance: random.Random) -> None:
    path = chance.choice([*weight_files(directory), *sorted(directory.glob("*.json"))])
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content) + 1)])


def _lost_file(directory: Path, chance: random.Random) -> None:
    chance.choice(sorted(directory.iterdir())).unlink()


def _stray_file(directory: Path, chance: random.Random) -> None:
    """Put an older copy with other values beside the weights."""
    source = chance.choice(weight_files(directory))
    other = write_checkpoint(directory.parent / "other", seed=1)
    shutil.copy(source if chance.random() < 0.5 else weight_files(other)[0], directory / "a_backup.safetensors")
    shutil.rmtree(other)


def _index(directory: Path, chance: random.Random) -> None:
    if not (directory / INDEX).exists():
        names = {name: file.name for file in weight_files(directory) for name in read_safetensors(file)}
        write_json(directory / INDEX, {"metadata": {}, "weight_map": names})

    def change(shards: dict[str, Any]) -> None:
        name = chance.choice(sorted(shards))
        action = chance.randrange(4)
        if action == 0:
            del shards[name]
        elif action == 1:
            shards[name] = chance.choice(sorted(set(shards.values())))
        elif action == 2:
            shards[name + ".other"] = shards[name]

    edit_index(directory, change)


_MUTATIONS: tuple[tuple[int, Mutation], ...] = (
    (8, _field),
    (2, _lost_field),
    (1, _tensors(lambda tensors, name, _: tensors.pop(name))),
    (1, _tensors(lambda tensors, name, _: tensors.update({f"extra.{name}": tensors[name]}))),
    (1, _tensors(_transposed)),
    (2, _tensors(_exchanged)),
    (2, _tensors(_changed_bytes)),
    (1, _tensors(_renamed)),
    (1, _tensors(_shortened)),
    (2, _bytes_of_a_file),
    (1, _truncated),
    (1, _lost_file),
    (1, _stray_file),
    (2, _index),
)


def mutated(place: Path, seeds: Sequence[int]) -> Iterator[tuple[int, Path]]:
    """Make the directory of each seed, one after the other: it is there until the next one is asked for."""
    weights, mutations = zip(*_MUTATIONS, strict=True)
    for seed in seeds:
        chance = random.Random(seed)
        directory = place / "mutated"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(chance.choice(SOURCES), directory)
        for mutation in chance.choices(mutations, weights, k=chance.randint(1, 3)):
            try:
                mutation(directory, chance)
            except (OSError, ValueError, LookupError, AttributeError, TypeError):
                continue  # an earlier one has left nothing to change
        yield seed, directory


def dump(path: Path, found: dict[int, Any]) -> None:
    """Write what came of each seed, a line each."""
    lines = [f'"{seed}": {json.dumps(outcome)}' for seed, outcome in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def shim_outcomes(seeds: Sequence[int], place: Path) -> dict[str, Any]:
    """Load the directory of each seed with the shim; return its tokens and whether it warned, a code, or other errors."""
    place.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = run_script(_SHIM, place / "shim", json.dumps(seeds), cwd=place, timeout=24 * 3600).result
    return found


def verdict(shim: Any, huggingface: Any) -> str:
    """Judge by what the shim made of a directory, and by HuggingFace's tokens with their smallest margin, if any."""
    if isinstance(shim, str):
        return REFUSED if shim in CODES.values() else FOREIGN
    if huggingface is None:
        return ALONE
    (found, warned), (tokens, margin) = shim, huggingface
    # MindFormers fills up with padding after the end.
    if found[: len(tokens)] == tokens:
        return SAME
    if margin < _CLOSE:
        return CLOSE
    return WARNED if warned else SILENT
