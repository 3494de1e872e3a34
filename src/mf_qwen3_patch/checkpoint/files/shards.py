"""The weight files of a directory: which ones count, and what their headers list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mf_qwen3_patch.checkpoint.files.directory import ADAPTER_CONFIG_NAME, Directory
from mf_qwen3_patch.checkpoint.files.index import INDEX_NAME, Index, read_index
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import CorruptCheckpoint, IncompleteCheckpoint, Problem, UnsupportedCheckpoint

SINGLE_NAME = "model.safetensors"
_SHARD_NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.safetensors")
ADAPTER_NAMES = frozenset({"adapter_model.safetensors", "adapter_model.bin", "adapters.safetensors"})


@dataclass
class Findings:
    """Findings while a directory is read; the fields are those of ``Checkpoint``."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    lost_unknown: bool = False


def choose_files(source: Directory, found: Findings, *, variant: str | None = None) -> tuple[list[str], Index]:
    """Say which files hold the checkpoint's weights, by the index or, without one, by their names.

    Args:
        source: The checkpoint's directory.
        found: Where problems and warnings go.
        variant: Of the weights: ``fp16`` for ``model.fp16.safetensors``; its files are only found by these names.
    """
    single, index_name = of_variant(SINGLE_NAME, variant), of_variant(INDEX_NAME, variant)
    listing = source.listing
    index = _choose_index(source, found, single, index_name)
    if index.shards:
        names = list(index.shards)
    elif variant is not None:
        names = _of_variant_alone(listing, index, found, single)
    else:
        names = _without_index(listing, index, found)
    _warn_of_strays(listing, names, found)
    return names, index


def of_variant(name: str, variant: str | None) -> str:
    """Return transformers' name for a file of a variant: ``model.fp16.safetensors`` of ``model.safetensors``."""
    if variant is None:
        return name
    stem, suffix = name.rsplit(".", 1)
    return f"{stem}.{variant}.{suffix}"


def _choose_index(source: Directory, found: Findings, single: str, name: str) -> Index:
    listing = source.listing
    if name not in listing:
        return Index(name=name)
    index = read_index(source.read, name)
    if single in listing and single not in index.shards:
        # HuggingFace looks for the single file first, so what it would load is what we load.
        found.warnings.append(
            f"{single} and {name} are both there; as with HuggingFace, {single} is used and "
            "the index with its shards is ignored: delete the one that is not meant"
        )
        return Index(name=name)
    found.problems += index.problems
    return index


def _of_variant_alone(listing: frozenset[str], index: Index, found: Findings, single: str) -> list[str]:
    """Name the one file of a variant without an index."""
    if single in listing:
        return [single]
    found.lost_unknown = True
    if not index.problems:
        others = sorted(name for name in listing if name.endswith(".safetensors"))
        found.problems.append(
            Problem(
                IncompleteCheckpoint,
                f"the directory has no weights of the variant that is asked for: neither {single} nor {index.name}",
                file=single,
                expected=f"{single}, or {index.name} with its shards",
                found=", ".join(others[:3]) + (", ..." if len(others) > 3 else "") or "no .safetensors file",
                advice="leave variant= away to load what is there, or download the variant",
            )
        )
    return []


def _without_index(listing: frozenset[str], index: Index, found: Findings) -> list[str]:
    """Name the weight files of a directory that has no usable index."""
    if SINGLE_NAME in listing:
        return [SINGLE_NAME]
    names = sorted(name for name in listing if name.endswith(".safetensors") and name not in ADAPTER_NAMES)
    if index.problems:
        # The index is there but broken; what it listed is not known, so nothing may count as missing.
        found.lost_unknown = True
    if not names:
        if not index.problems and ADAPTER_CONFIG_NAME not in listing:
            found.problems.append(_no_weights(listing))
        return []
    sets: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if match := _SHARD_NAME.fullmatch(name):
            sets.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    if not sets:
        return names
    if len(sets) > 1:
        described = ", ".join(f"{stem}-*-of-{total:05d}" for stem, total in sorted(sets))
        found.lost_unknown = True
        found.problems.append(
            Problem(
                CorruptCheckpoint,
                "the directory holds shards of several checkpoints and no index that says which are meant",
                file=INDEX_NAME,
                expected="shards of one checkpoint",
                found=described,
                advice="delete the shards that are not meant, or download the index",
            )
        )
        return []
    (stem, total), present = next(iter(sets.items()))
    if not index.problems:
        found.warnings.append(f"{INDEX_NAME} is not there; the shards are taken by their names")
    absent = [number for number in range(1, min(total, 9999) + 1) if number not in present]
    if absent:
        found.lost_unknown = True
        first = f"{stem}-{absent[0]:05d}-of-{total:05d}.safetensors"
        others = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        found.problems.append(
            Problem(
                IncompleteCheckpoint,
                f"{first}{others} is not there, and what it held is missing",
                file=first,
                expected=f"{total} shards",
                found=f"{len(present)} shards",
                advice="download the missing shards and the index",
            )
        )
    return [f"{stem}-{number:05d}-of-{total:05d}.safetensors" for number in sorted(present)]


def _no_weights(listing: frozenset[str]) -> Problem:
    for suffixes, kind, advice in (
        ((".gguf",), "GGUF", "download the original safetensors checkpoint, e.g. Qwen/Qwen3-14B"),
        ((".bin", ".pt", ".pth"), "PyTorch (pickle)", "save it again with safe_serialization=True"),
        ((".ckpt",), "MindSpore .ckpt", "download the original safetensors checkpoint, e.g. Qwen/Qwen3-14B"),
    ):
        names = sorted(name for name in listing if name.endswith(suffixes))
        if names:
            return Problem(
                UnsupportedCheckpoint,
                f"the weights are in {kind} format ({names[0]}); only safetensors are loaded",
                file=names[0],
                expected=".safetensors files",
                found=f"{len(names)} {kind} file{'s' if len(names) > 1 else ''}",
                advice=advice,
            )
    return Problem(
        IncompleteCheckpoint,
        "the directory holds no weights",
        file=SINGLE_NAME,
        expected=f"{SINGLE_NAME}, or {INDEX_NAME} with its shards",
        found="no .safetensors file",
        advice="download the weights, too",
    )


def _warn_of_strays(listing: frozenset[str], used: list[str], found: Findings) -> None:
    strays = sorted(name for name in listing if name.endswith(".safetensors") and name not in used)
    if strays and used:
        found.warnings.append(f"ignored, as they are not part of the checkpoint: {', '.join(strays)}")


def read_headers(
    source: Directory, names: list[str], index: Index, found: Findings
) -> dict[str, Mapping[str, TensorInfo]]:
    """Read the header of every file; a file that can't be read is one problem, with all its tensors."""
    headers: dict[str, Mapping[str, TensorInfo]] = {}
    gone: dict[str, Problem] = {}
    for name in names:
        header = source.header(name)
        if header.problems and not header.tensors:
            gone[name] = header.problems[0]
            continue
        found.problems += header.problems
        headers[name] = header.tensors
    for name, problem in gone.items():
        lost = index.shards.get(name)
        if lost is None:
            found.lost_unknown = True
            found.problems.append(problem)
        else:
            found.lost.update(lost)
            found.problems.append(_with_lost_tensors(problem, lost, index))
    return headers


def _with_lost_tensors(problem: Problem, lost: tuple[str, ...], index: Index) -> Problem:
    """Say in the file's one problem how many tensors went with it."""
    total = sum(len(names) for names in index.shards.values())
    silent = problem.expected is None and problem.found is None
    return replace(
        problem,
        summary=f"{problem.summary}; {len(lost)} of {total} tensors went with it",
        tensor=problem.tensor or lost[0],
        expected=f"{total} tensors in {len(index.shards)} files" if silent else problem.expected,
        found=f"{total - len(lost)} without this file" if silent else problem.found,
    )


def merge_headers(headers: Mapping[str, Mapping[str, TensorInfo]], found: Findings) -> dict[str, TensorInfo]:
    """Return the tensors of all files; of one that is in two files, the first."""
    merged: dict[str, TensorInfo] = {}
    homes: dict[str, str] = {}
    twice: dict[tuple[str, str], list[str]] = {}
    for name, tensors in headers.items():
        for key, info in tensors.items():
            if key in merged:
                twice.setdefault((homes[key], name), []).append(key)
            else:
                merged[key] = info
                homes[key] = name
    for (first, second), keys in twice.items():
        found.problems.append(
            Problem(
                CorruptCheckpoint,
                f"{len(keys)} tensor{'s are' if len(keys) > 1 else ' is'} in two files, {first} and {second}",
                file=second,
                tensor=keys[0],
                expected="in one file",
                found=f"in {first} and {second}",
                advice="delete the file that is not meant, or download the checkpoint again",
            )
        )
    return merged
