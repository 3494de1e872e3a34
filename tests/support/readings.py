"""Directories that transformers 4 and 5 may read differently, and what has been recorded of both.

``READINGS`` is what `python -m scripts.make_readings` has recorded, by one release of transformers each; DISPUTED says
which of both a directory means, and why.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import (
    Raw,
    decode,
    edit_config,
    edit_weights,
    encode,
    read_json,
    write_json,
)
from tests.support.processes import ROOT

REFERENCE = ROOT / "tests" / "reference_data"
JUDGES = (4, 5)
MAX_NEW_TOKENS = 12

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_ROPE = ("rope_theta", "rope_scaling")


@dataclass(frozen=True)
class Disputed:
    """A change to a directory of the reference data, and whose reading is right.

    Attributes:
        base: The directory that is changed, below ``checkpoints``.
        make: Changes a copy of it in place.
        meant: The release of transformers whose reading counts where the two differ; None if nothing says which is
            meant, so that it must be asked.
        because: What in the directory says so.
        keywords: By release, the keywords of ``from_pretrained`` that choose its reading.
        warned: A part of the warning that tells of the difference, if there is one.
    """

    base: str
    make: Callable[[Path], object]
    meant: int | None = 5
    because: str = ""
    keywords: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    warned: str | None = None


def _config(*drop: str, **changes: Any) -> Callable[[Path], object]:
    return lambda directory: edit_config(directory, *drop, **changes)


def _rope_parameters(directory: Path) -> None:
    config = read_json(directory / "config.json")
    both = {"rope_type": "default", **(config["rope_scaling"] or {}), "rope_theta": config["rope_theta"]}
    edit_config(directory, *_ROPE, rope_parameters=both)


def _head(change: Callable[[np.ndarray], object]) -> Callable[[Path], object]:
    """Store an output layer that was made of the embedding."""

    def make(directory: Path) -> None:
        def add(tensors: dict[str, Raw]) -> None:
            values = decode(tensors[EMBEDDING]).copy()
            change(values)
            tensors[HEAD] = encode(values, "F32")

        edit_weights(directory, add)

    return make


def _only_the_head(directory: Path) -> None:
    edit_weights(directory, lambda tensors: tensors.update({HEAD: tensors.pop(EMBEDDING)}))


def _rename(directory: Path, old: str, new: str) -> None:
    config = read_json(directory / "config.json")
    config[new] = config.pop(old)
    write_json(directory / "config.json", config)


_YARN_4 = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16}

DISPUTED: Mapping[str, Disputed] = {
    "tied, another output layer in the file": Disputed(
        "tied",
        _head(lambda values: np.negative(values, out=values)),
        meant=None,
        keywords={4: {"tie_word_embeddings": True}, 5: {"tie_word_embeddings": False}},
    ),
    "tied, another last row of the output layer": Disputed(
        "tied",
        _head(lambda values: values[-1].fill(9)),
        meant=None,
        keywords={4: {"tie_word_embeddings": True}, 5: {"tie_word_embeddings": False}},
    ),
    "tied, the embedding stored twice": Disputed("tied", _head(lambda values: None)),
    "tied, only the output layer in the file": Disputed(
        "tied", _only_the_head, because="tied, they are one tensor; transformers 4.51 leaves the embedding empty"
    ),
    "nothing said of ties, both in the file": Disputed("gqa2", _config("tie_word_embeddings")),
    "num_local_experts": Disputed(
        "moe",
        lambda directory: _rename(directory, "num_experts", "num_local_experts"),
        because="transformers 4 knows no such key",
    ),
    "num_experts by both names": Disputed("moe", _config(num_local_experts=4)),
    "rope_parameters": Disputed("gqa2", _rope_parameters, because="transformers 4 knows no such key"),
    "yarn in rope_parameters": Disputed("yarn", _rope_parameters, because="transformers 4 knows no such key"),
    "rope_type default in rope_scaling": Disputed("gqa2", _config(rope_scaling={"rope_type": "default"})),
    "nothing said of rope_theta": Disputed("gqa2", _config("rope_theta"), warned="no rope_theta"),
    "a yarn factor that the lengths do not have": Disputed(
        "yarn",
        _config(max_position_embeddings=32),
        because="the factor is written there; transformers 4 computes another",
        keywords={4: {"rope_scaling": _YARN_4}},
        warned="transformers 4 uses 2, transformers 5 uses 4.0",
    ),
    "yarn without an original length": Disputed("yarn", _config(rope_scaling={"type": "yarn", "factor": 4.0})),
    "a window that is switched off": Disputed(
        "gqa2",
        _config(use_sliding_window=False, sliding_window=3),
        because="use_sliding_window is false; transformers 4.51 masks all the same",
    ),
    "a window that no layer reaches": Disputed(
        "gqa2",
        _config(use_sliding_window=True, sliding_window=3, max_window_layers=2),
        because="max_window_layers is beyond all layers; transformers 4.51 masks all the same",
    ),
    "layer_types": Disputed("gqa2", _config(layer_types=["full_attention"] * 2)),
    "num_key_value_heads null": Disputed("gqa1_mha", _config(num_key_value_heads=None)),
    "nothing said of norm_topk_prob": Disputed("moe", _config("norm_topk_prob")),
    "no head_dim, of experts": Disputed("moe", _config("head_dim")),
    "dtype for torch_dtype": Disputed("bf16", lambda directory: _rename(directory, "torch_dtype", "dtype")),
}


@dataclass(frozen=True)
class Source:
    """A directory that both releases of transformers have read.

    Attributes:
        name: In the records.
        base: The checkpoint of the reference data whose weights and prompts it has.
        directory: Returns it, or makes it below an empty directory.
        options: Keywords of ``from_pretrained`` without which its weights are not found.
    """

    name: str
    base: str
    directory: Callable[[Path], Path]
    options: Mapping[str, Any] = field(default_factory=dict)


def saved_sources() -> list[Source]:
    """Return the directories that transformers 5 has saved."""
    return [
        Source(
            f"saved_by_5/{path.name}",
            path.name.partition("__")[0],
            lambda _, path=path: path,
            {"variant": "fp16"} if path.name.endswith("__variant") else {},
        )
        for path in sorted((REFERENCE / "saved_by_5").iterdir())
    ]


def disputed_sources() -> list[Source]:
    """Return the directories that the two may read differently."""
    return [
        Source(f"disputed/{name}", case.base, lambda scratch, name=name: make_disputed(name, scratch))
        for name, case in DISPUTED.items()
    ]


def every_source() -> list[Source]:
    """Return all of them: those that transformers 4 has saved, those by transformers 5, and those in dispute."""
    paths = sorted((REFERENCE / "checkpoints").iterdir())
    saved_by_4 = [Source(f"checkpoints/{path.name}", path.name, lambda _, path=path: path) for path in paths]
    return [*saved_by_4, *saved_sources(), *disputed_sources()]


def make_disputed(name: str, scratch: Path) -> Path:
    """Write one of the disputed directories below another one."""
    case = DISPUTED[name]
    directory = scratch / name.replace(" ", "_")
    shutil.copytree(REFERENCE / "checkpoints" / case.base, directory)
    case.make(directory)
    return directory


def prompts_of(base: str) -> list[list[int]]:
    """Return the prompts that the reference data of a checkpoint have."""
    prompts: list[list[int]] = json.loads((REFERENCE / "expected" / f"{base}.json").read_text())["prompts"]
    return prompts


def readings_file(judge: int) -> Path:
    """Return where the readings of a release of transformers are."""
    return REFERENCE / "readings" / f"transformers_{judge}.json"


def readings(judge: int) -> Mapping[str, Any]:
    """Return what a release of transformers makes of each directory: its tokens, or why it has none."""
    found: Mapping[str, Any] = json.loads(readings_file(judge).read_text(encoding="utf-8"))["readings"]
    return found
