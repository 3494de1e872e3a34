"""model.safetensors.index.json, or that of a variant of the weights: which tensor is in which shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.checkpoint.files.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError, CorruptCheckpoint, Problem

INDEX_NAME = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Index:
    """The index.

    Attributes:
        shards: For every shard, in order of its name, the tensors that it should hold.
        problems: What is wrong with the index itself.
        name: The file's name.
    """

    shards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    name: str = INDEX_NAME


def read_index(read: Callable[[str], bytes], name: str = INDEX_NAME) -> Index:
    """Read an index; what is wrong with it is collected, not raised.

    Args:
        read: Returns the content of one of the checkpoint's files.
        name: The index's name there.
    """
    advice = f"download {name} again"
    try:
        raw = parse_object(read(name), file=name, what=name, advice=advice)
    except CheckpointError as error:
        return Index(problems=error.problems, name=name)
    weight_map = raw.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        found = "none" if weight_map is None else type(weight_map).__name__
        return Index(
            problems=(
                Problem(
                    CorruptCheckpoint,
                    f"{name} has no weight_map that says which tensor is in which file",
                    file=name,
                    field="weight_map",
                    expected="a map from tensor to file name",
                    found=found if weight_map != {} else "an empty map",
                    advice=advice,
                ),
            ),
            name=name,
        )
    shards: dict[str, list[str]] = {}
    refused: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        if isinstance(shard, str):
            shards.setdefault(shard, []).append(tensor)
        else:
            refused.setdefault(repr(shard)[:80], []).append(tensor)
    for shard in [shard for shard in shards if not _stays_inside(shard)]:
        refused.setdefault(shard, []).extend(shards.pop(shard))
    problems = tuple(_refused(name, shard, tensors) for shard, tensors in sorted(refused.items()))
    return Index({shard: tuple(names) for shard, names in sorted(shards.items())}, problems, name)


def compare_with_headers(
    index: Index, headers: Mapping[str, Mapping[str, TensorInfo]]
) -> tuple[list[Problem], list[str], set[str]]:
    """Compare the index with the shards that could be read.

    Args:
        index: The index.
        headers: By shard, the tensors that its header lists.

    Returns:
        The problems, the warnings, and the names of tensors that the index lists but no file holds.
    """
    homes: dict[str, str] = {name: shard for shard, tensors in headers.items() for name in tensors}
    problems: list[Problem] = []
    warnings: list[str] = []
    absent: set[str] = set()
    listed = {name for names in index.shards.values() for name in names}
    for shard, names in index.shards.items():
        if shard not in headers:
            continue
        wrong = [name for name in names if name not in headers[shard]]
        if wrong:
            absent.update(name for name in wrong if name not in homes)
            problems.append(_not_in_its_file(index.name, shard, wrong, homes))
        unlisted = [name for name in headers[shard] if name not in listed]
        if unlisted:
            warnings.append(f"{shard} holds {_count(unlisted)} that {index.name} does not list: {_some(unlisted)}")
    return problems, warnings, absent


def _not_in_its_file(index: str, shard: str, wrong: list[str], homes: Mapping[str, str]) -> Problem:
    elsewhere = [name for name in wrong if name in homes]
    found = f"found in {homes[elsewhere[0]]}" if elsewhere else "found in no file"
    return Problem(
        CorruptCheckpoint,
        f"{index} says that {shard} holds {_count(wrong)} which its header does not list",
        file=shard,
        tensor=wrong[0],
        expected=f"in {shard}",
        found=found,
        advice=f"{index} and {shard} are of different checkpoints: download both again",
    )


def _refused(index: str, shard: str, tensors: list[str]) -> Problem:
    return Problem(
        CorruptCheckpoint,
        f"{index} names a file outside the checkpoint's directory for {_count(tensors)}",
        file=index,
        tensor=tensors[0],
        field="weight_map",
        expected="the name of a .safetensors file in the directory",
        found=shard[:120],
        advice=f"don't trust this checkpoint; download {index} again from its source",
    )


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


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
