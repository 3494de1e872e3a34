"""The weight files of a directory: which ones count, and what their headers list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from mf_qwen3_patch.checkpoint.files.compare import same_bytes
from mf_qwen3_patch.checkpoint.files.directory import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, Directory
from mf_qwen3_patch.checkpoint.files.index import INDEX_NAME, Findings, Index, read_index
from mf_qwen3_patch.checkpoint.files.safetensors_header import MAX_TENSORS, TensorInfo, too_many_tensors
from mf_qwen3_patch.checkpoint.reading.read_file import corrupt
from mf_qwen3_patch.errors import CheckpointError, IncompleteCheckpoint, Problem, UnsupportedCheckpoint, some

SINGLE_NAME = "model.safetensors"
_SHARD_NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.safetensors")
ADAPTER_NAMES = frozenset({ADAPTER_WEIGHTS_NAME, "adapter_model.bin", "adapters.safetensors"})

_OTHER_FORMATS = (
    ((".gguf",), "GGUF", "download the original safetensors checkpoint, e.g. Qwen/Qwen3-14B"),
    ((".bin", ".pt", ".pth"), "PyTorch (pickle)", "save it again with safe_serialization=True"),
    ((".ckpt",), "MindSpore .ckpt", "download the original safetensors checkpoint, e.g. Qwen/Qwen3-14B"),
)


def choose_files(source: Directory, found: Findings, *, variant: str | None = None) -> tuple[list[str], Index]:
    """Say which files hold the checkpoint's weights, by the index or, without one, by their names.

    The files of a variant (``fp16`` of ``model.fp16.safetensors``) are only found by the names of transformers.
    """
    single, index_name = _of_variant(SINGLE_NAME, variant), _of_variant(INDEX_NAME, variant)
    index = _choose_index(source, found, single, index_name)
    if index.shards:
        names = list(index.shards)
    elif single in source.listing:
        names = [single]
    elif variant is not None:
        names = []
        _miss_variant(source, index, found, single)
    else:
        names = _without_index(source, index, found)
    strays = [name for name in source.weight_files if name not in names and not _is_of_adapter(source, name)]
    if strays and names:
        found.warnings.append(f"ignored, as they are not part of the checkpoint: {', '.join(strays)}")
    return names, index


def _is_of_adapter(source: Directory, name: str) -> bool:
    return name == ADAPTER_WEIGHTS_NAME and ADAPTER_CONFIG_NAME in source.listing


def _of_variant(name: str, variant: str | None) -> str:
    """Return transformers' name for a file of a variant: ``model.fp16.safetensors`` of ``model.safetensors``."""
    if variant is None:
        return name
    stem, suffix = name.rsplit(".", 1)
    return f"{stem}.{variant}.{suffix}"


def _choose_index(source: Directory, found: Findings, single: str, name: str) -> Index:
    if name not in source.listing:
        return Index(name=name)
    index = read_index(source.read, name)
    if single in source.listing and single not in index.shards:
        # HuggingFace looks for the single file first, so what it would load is what we load.
        found.warnings.append(
            f"{single} and {name} are both there; as with HuggingFace, {single} is used and "
            "the index with its shards is ignored: move the one that is not meant elsewhere"
        )
        return Index(name=name)
    found.problems += index.problems
    return index


def _miss_variant(source: Directory, index: Index, found: Findings, single: str) -> None:
    found.lost_unknown = True
    if not index.problems:
        summary = f"the directory has no weights of the variant that is asked for: neither {single} nor {index.name}"
        expected = f"{single}, or {index.name} with its shards"
        others = some(source.weight_files) or "no .safetensors file"
        advice = "leave variant= away to load what is there, or download the variant"
        found.problems.append(_incomplete(summary, single, expected, others, advice))


def _without_index(source: Directory, index: Index, found: Findings) -> list[str]:
    """Name the weight files of a directory that has no usable index."""
    names = [name for name in source.weight_files if name not in ADAPTER_NAMES]
    if index.problems:
        # The index is there but broken; what it listed is not known, so nothing may count as missing.
        found.lost_unknown = True
    if not names:
        if not index.problems and not source.is_adapter:
            found.problems.append(_no_weights(source.listing))
        return []
    sets: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if match := _SHARD_NAME.fullmatch(name):
            sets.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    if not sets:
        return names
    if len(sets) > 1:
        found.lost_unknown = True
        summary = "the directory holds shards of several checkpoints and no index that says which are meant"
        described = ", ".join(f"{stem}-*-of-{total:05d}" for stem, total in sorted(sets))
        advice = "download the index, or move the shards that are not meant elsewhere"
        found.problems.append(corrupt(INDEX_NAME, summary, "shards of one checkpoint", described, advice))
        return []
    ((stem, total), present) = sets.popitem()
    if not index.problems:
        found.warnings.append(f"{INDEX_NAME} is not there; the shards are taken by their names")

    def shard(number: int) -> str:
        return f"{stem}-{number:05d}-of-{total:05d}.safetensors"

    absent = [shard(number) for number in range(1, min(total, 9999) + 1) if number not in present]
    if absent:
        found.lost_unknown = True
        summary = f"{some(absent, 1, ' (and {} more)')} is not there, and what it held is missing"
        advice = "download the missing shards and the index"
        found.problems.append(_incomplete(summary, absent[0], f"{total} shards", f"{len(present)} shards", advice))
    return [shard(number) for number in sorted(present)]


def _no_weights(listing: frozenset[str]) -> Problem:
    for suffixes, kind, advice in _OTHER_FORMATS:
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
    expected = f"{SINGLE_NAME}, or {INDEX_NAME} with its shards"
    advice = "download the weights, too"
    return _incomplete("the directory holds no weights", SINGLE_NAME, expected, "no .safetensors file", advice)


def _incomplete(summary: str, file: str, expected: str, found: str, advice: str) -> Problem:
    return Problem(IncompleteCheckpoint, summary, file=file, expected=expected, found=found, advice=advice)


def read_headers(
    source: Directory, names: list[str], index: Index, found: Findings
) -> dict[str, Mapping[str, TensorInfo]]:
    """Read the header of every file; a file that can't be read is one problem, with all its tensors.

    Where they list more than any model has, those of the files that follow are not read.
    """
    headers: dict[str, Mapping[str, TensorInfo]] = {}
    gone: list[Problem] = []
    count = 0
    for name in names:
        header = source.header(name)
        count += len(header.tensors)
        if count > MAX_TENSORS:
            found.lost_unknown = True
            if not index.problems:
                found.problems.append(too_many_tensors(name, f"the files up to {name} list", count))
            break
        if header.tensors or not header.problems:
            found.problems += header.problems
            headers[name] = header.tensors
        elif name in index.shards:
            found.lost.update(index.shards[name])
            gone.append(_with_lost_tensors(header.problems[0], name, index))
        else:
            found.lost_unknown = True
            gone.append(header.problems[0])
    found.problems += gone
    return headers


def _with_lost_tensors(problem: Problem, shard: str, index: Index) -> Problem:
    """Say in the file's one problem how many tensors went with it."""
    lost, total = index.shards[shard], sum(map(len, index.shards.values()))
    silent = problem.expected is None and problem.found is None
    return replace(
        problem,
        summary=f"{problem.summary}; {len(lost)} of {total} tensors went with it",
        tensor=problem.tensor or lost[0],
        expected=f"{total} tensors in {len(index.shards)} files" if silent else problem.expected,
        found=f"{total - len(lost)} without this file" if silent else problem.found,
    )


def merge_headers(
    source: Directory, headers: Mapping[str, Mapping[str, TensorInfo]], index: Index, found: Findings
) -> dict[str, TensorInfo]:
    """Return the tensors of all files; one that is in two files is where the index says.

    Copies with the same content are as good as one. Without an index that says which is meant, others are a problem.
    """
    listed = {name: shard for shard, names in index.shards.items() for name in names if name in headers.get(shard, ())}
    homes: dict[str, str] = {}
    twice: dict[tuple[str, str], list[str]] = {}
    for file, tensors in headers.items():
        for name in tensors:
            first = homes.setdefault(name, listed.get(name, file))
            if first != file:
                twice.setdefault((first, file), []).append(name)
    for (first, second), names in twice.items():
        names = [name for name in names if not _are_copies(source, headers[first][name], headers[second][name])]
        if not names:
            continue
        count = f"{len(names)} tensor{'s are' if len(names) > 1 else ' is'}"
        summary = f"{count} in two files, {first} and {second}, with different content"
        if names[0] in listed:
            theirs = f", where transformers takes {second}, which it reads later" if second > first else ""
            found.warnings.append(f"{summary}; {first} is used, as {index.name} says{theirs}: {some(names)}")
            continue
        advice = f"put the {INDEX_NAME} beside them that says which is meant"
        found.problems.append(corrupt(second, summary, "in one file", f"in {first} and {second}", advice, names[0]))
    return {name: headers[file][name] for name, file in homes.items()}


def _are_copies(source: Directory, first: TensorInfo, second: TensorInfo) -> bool:
    try:
        return same_bytes(first, second, lambda path: source.file(str(path.relative_to(source.path))))
    except CheckpointError:  # a file that is cut off has been reported already
        return False
