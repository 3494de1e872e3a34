"""model.safetensors.index.json, or that of a variant of the weights: which tensor is in which shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mf_qwen3_patch._display import json_kind, short_json
from mf_qwen3_patch.checkpoint.files.safetensors_header import MAX_TENSORS, TensorInfo, too_many_tensors
from mf_qwen3_patch.checkpoint.reading.read_file import corrupt
from mf_qwen3_patch.checkpoint.reading.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError, Problem, some

INDEX_NAME = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Index:
    """The tensors that each shard should hold, in order of the shards' names."""

    shards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()  # of the index itself
    name: str = INDEX_NAME  # of the file
    total_size: float | None = None  # bytes of all tensors, as it says


@dataclass
class Findings:
    """Findings while a directory is read; the fields are those of ``Checkpoint``."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    lost_unknown: bool = False


def read_index(read: Callable[[str], bytes], name: str = INDEX_NAME) -> Index:
    """Read the index of this name; what is wrong with it is collected, not raised."""
    try:
        text = read(name)
        if (count := text.count(b":")) > MAX_TENSORS:
            return Index(problems=(too_many_tensors(name, f"{name} lists", count),), name=name)
        content = parse_object(text, file=name)
    except CheckpointError as error:
        return Index(problems=error.problems, name=name)
    weight_map, metadata = content.get("weight_map"), content.get("metadata")
    if not isinstance(weight_map, dict) or not weight_map:
        summary = f"{name} has no weight_map that says which tensor is in which file"
        expected, advice = "a map from tensor to file name", f"download {name} again"
        found = "none" if weight_map is None else "an empty map" if weight_map == {} else json_kind(weight_map)
        return Index(problems=(corrupt(name, summary, expected, found, advice, field="weight_map"),), name=name)
    total_size = metadata.get("total_size") if isinstance(metadata, dict) else None
    # Some releases of transformers have written it as a float.
    if isinstance(total_size, bool) or not isinstance(total_size, (int, float)):
        total_size = None
    shards: dict[str, list[str]] = {}
    refused: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        if isinstance(shard, str):
            shards.setdefault(shard, []).append(tensor)
        else:
            refused.setdefault(short_json(shard), []).append(tensor)
    for shard in [shard for shard in shards if not _stays_inside(shard)]:
        refused.setdefault(shard, []).extend(shards.pop(shard))
    problems = tuple(_refused(name, shard, tensors) for shard, tensors in sorted(refused.items()))
    return Index({shard: tuple(names) for shard, names in sorted(shards.items())}, problems, name, total_size)


def compare_with_headers(index: Index, headers: Mapping[str, Mapping[str, TensorInfo]], found: Findings) -> None:
    """Compare the index with the tensors in the shards that could be read: their names, and their size together."""
    homes = {name: shard for shard, tensors in headers.items() for name in tensors}
    listed = {name for names in index.shards.values() for name in names}
    for shard, names in index.shards.items():
        if shard not in headers:
            continue
        wrong = [name for name in names if name not in headers[shard]]
        if wrong:
            found.lost.update(name for name in wrong if name not in homes)
            summary = f"{index.name} says that {shard} holds {_count(wrong)} which its header does not list"
            place = next((homes[name] for name in wrong if name in homes), "no file")
            advice = f"{index.name} and {shard} are of different checkpoints: download both again"
            found.problems.append(corrupt(shard, summary, f"in {shard}", f"found in {place}", advice, wrong[0]))
        unlisted = [name for name in headers[shard] if name not in listed]
        if unlisted:
            found.warnings.append(f"{shard} holds {_count(unlisted)} that {index.name} does not list: {some(unlisted)}")
    # What a file that can't be read would have held is not known; 0 says nothing.
    if index.total_size and headers.keys() >= index.shards.keys() and not found.lost:
        _compare_size(index, headers, found)


def _compare_size(index: Index, headers: Mapping[str, Mapping[str, TensorInfo]], found: Findings) -> None:
    every = sum(info.nbytes for tensors in headers.values() for info in tensors.values())
    listed = sum(
        headers[shard][name].nbytes for shard, names in index.shards.items() for name in names if name in headers[shard]
    )
    if index.total_size not in (every, listed):
        found.warnings.append(
            f"{index.name} says that the tensors have {short_json(index.total_size)} bytes together (total_size), but "
            f"the headers of the shards say {listed}: the index, or some of the shards, are probably of another "
            "revision or dtype; download all of them again"
        )


def _refused(index: str, shard: str, tensors: list[str]) -> Problem:
    summary = f"{index} names a file outside the checkpoint's directory for {_count(tensors)}"
    expected = "the name of a .safetensors file in the directory"
    advice = f"don't trust this checkpoint; download {index} again from its source"
    return corrupt(index, summary, expected, shard[:120], advice, tensors[0], "weight_map")


def _stays_inside(shard: str) -> bool:
    path = PurePosixPath(shard)
    return (
        shard.endswith(".safetensors")
        and len(shard) < 256
        and not path.is_absolute()
        and ".." not in path.parts
        and not any(char in shard for char in "\\\0:")
        and shard.isprintable()
    )


def _count(names: list[str]) -> str:
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
