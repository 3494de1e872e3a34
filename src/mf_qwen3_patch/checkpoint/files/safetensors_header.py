"""Safetensors headers, read by hand: names, dtypes, shapes and offsets, without touching the data.

The format (https://github.com/huggingface/safetensors#format): 8 bytes little-endian length N,
N bytes of JSON ``{name: {"dtype", "shape", "data_offsets": [begin, end]}}``, then the data, to which
the offsets are relative. The data have neither gaps nor overlaps and end with the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import NoReturn, TypeGuard

from mf_qwen3_patch._display import json_kind, short_json
from mf_qwen3_patch.checkpoint.reading.read_file import MAX_JSON_BYTES, CheckpointFile, corrupt, open_file
from mf_qwen3_patch.checkpoint.reading.strict_json import parse_object
from mf_qwen3_patch.errors import CheckpointError, CorruptCheckpoint, Problem, error_for

DTYPE_BITS: Mapping[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits per element of every dtype that the format knows."""

DTYPE_NAMES: Mapping[str, str] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
"""The names of the format's floating-point dtypes in config.json, MindSpore and numpy."""

STORED_NAMES: Mapping[str, str] = {name: stored for stored, name in DTYPE_NAMES.items()}
"""The other way round."""

MAX_TENSORS = 1 << 18
"""Several times what the largest models have in all their files; millions would take minutes and gigabytes."""

_LENGTH_BYTES = 8
_MAX_RANK = 32  # numpy's limit, too; keeps the product of a hostile shape small
_MAX_DIMENSION = 2**63 - 1
_METADATA = "__metadata__"
_COLONS_PER_TENSOR = 4  # after its name, dtype, shape and data_offsets
_DOWNLOAD_AGAIN = "download the file again and compare its size and checksum with the source"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """The place of one tensor; its dtype in the format's own name, e.g. ``"BF16"``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int  # of its first byte, from the file's start
    nbytes: int

    @property
    def values_dtype(self) -> str:
        """The dtype that its values have when they are read."""
        return self.dtype


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one safetensors file: what could be read of it, and what is wrong with it, worst first."""

    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)  # the free-form strings under __metadata__
    problems: tuple[Problem, ...] = ()
    nbytes: int = 0  # with the length before it: where the data start


def read_header(path: Path) -> Header:
    """Read the header of a sound safetensors file; raises CheckpointError with the file, and the tensor, at fault."""
    with closing(open_file(path)) as file:
        header = inspect_header(file)
    if header.problems:
        raise error_for(header.problems, str(path.parent))
    return header


def inspect_header(file: CheckpointFile) -> Header:
    """Read the header like :func:`read_header`, but return what is wrong instead of raising it.

    A truncated or overlong file still lists its tensors, so that the config can be checked too.
    """
    name = file.name
    try:
        length = _header_length(file.read(0, min(_LENGTH_BYTES, file.size)), file.size, name)
        text = file.read(_LENGTH_BYTES, length)
        if (count := text.count(b":") // _COLONS_PER_TENSOR) > MAX_TENSORS:
            return Header(problems=(too_many_tensors(name, f"the header of {name} lists", count),))
        raw = parse_object(text, file=name, what=f"the header of {name}", advice=_DOWNLOAD_AGAIN)
        metadata = _metadata(raw.pop(_METADATA, {}), name)
        start = _LENGTH_BYTES + length
        tensors = {key: _tensor(key, value, file.path, name, start) for key, value in raw.items()}
    except CheckpointError as error:
        return Header(problems=error.problems)
    problem = _layout_problem(tensors, name, start, file.size)
    return Header(tensors, metadata, () if problem is None else (problem,), start)


def too_many_tensors(file: str, lists: str, count: int) -> Problem:
    """Return the problem of a file beyond ``MAX_TENSORS``, with the beginning of its sentence."""
    summary, expected = f"{lists} more tensors than any model has", f"at most {MAX_TENSORS} tensors"
    return corrupt(file, summary, expected, f"about {count}", _DOWNLOAD_AGAIN)


def _fail(
    name: str,
    summary: str,
    expected: str | None = None,
    found: str | None = None,
    advice: str = _DOWNLOAD_AGAIN,
    tensor: str | None = None,
) -> NoReturn:
    raise CorruptCheckpoint([corrupt(name, summary, expected, found, advice, tensor)])


def _header_length(prefix: bytes, size: int, name: str) -> int:
    if len(prefix) < _LENGTH_BYTES:
        summary = f"{name} is too short for a safetensors file"
        _fail(name, summary, f"at least {_LENGTH_BYTES} bytes", f"{len(prefix)} bytes")
    length = int.from_bytes(prefix, "little")
    if length > MAX_JSON_BYTES:
        summary = f"{name} announces a header larger than safetensors allows, so it is not a safetensors file"
        _fail(name, summary, f"at most {MAX_JSON_BYTES} bytes of header", f"{length} bytes")
    if length > size - _LENGTH_BYTES:
        found = f"{size - _LENGTH_BYTES} bytes in the file after the length"
        _fail(name, f"{name} ends before its header does", f"a header of {length} bytes", found)
    return length


def _metadata(raw: object, name: str) -> dict[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        _fail(name, f"the header of {name} has a {_METADATA} that is not a map of strings")
    return raw


def _tensor(key: str, raw: object, path: Path, name: str, start: int) -> TensorInfo:
    def fail(fault: str, expected: str | None, found: str, advice: str = _DOWNLOAD_AGAIN) -> NoReturn:
        _fail(name, f"the header of {name} {fault}", expected, found, advice, _short(key))

    if not isinstance(raw, dict):
        kind = json_kind(raw)
        fail(f"describes a tensor by {kind}", None, kind)
    dtype, shape, offsets = raw.get("dtype"), raw.get("shape"), raw.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        fault, expected = "gives a tensor a dtype that safetensors does not know", "one of " + ", ".join(DTYPE_BITS)
        fail(fault, expected, _short(repr(dtype)), "save the checkpoint again in bfloat16, float16 or float32")
    if not _are_sizes(shape) or len(shape) > _MAX_RANK:
        fail("gives a tensor an impossible shape", f"a list of at most {_MAX_RANK} sizes", _short(shape))
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        expected = "[begin, end] with 0 <= begin <= end"
        fail("gives a tensor impossible data_offsets", expected, _short(offsets))
    begin, end = offsets
    bits = prod(shape) * DTYPE_BITS[dtype]
    if (end - begin) * 8 != bits:
        expected = f"{bits / 8:g} bytes for {dtype} {shape}" if bits < 2**50 else f"{bits // 8} bytes"
        found = f"{end - begin} bytes (data_offsets {offsets})"
        fail("gives a tensor another length than its dtype and shape have", expected, found)
    return TensorInfo(key, dtype, tuple(shape), path, start + begin, end - begin)


def _layout_problem(tensors: dict[str, TensorInfo], name: str, start: int, size: int) -> Problem | None:
    """Check that the tensors tile the data section; report the first fault only, it explains the rest."""
    position = start
    at_fault: TensorInfo | None = None
    for tensor in sorted(tensors.values(), key=attrgetter("offset", "nbytes")):
        if tensor.offset != position:
            fault = "overlaps the tensor before it" if tensor.offset < position else "leaves a gap before it"
            summary = f"the header of {name} places a tensor so that it {fault}"
            expected, found = f"offset {position - start}", f"offset {tensor.offset - start}"
            return corrupt(name, summary, expected, found, _DOWNLOAD_AGAIN, _short(tensor.name))
        position = tensor.offset + tensor.nbytes
        at_fault = tensor
    if position == size:
        return None
    if position < size:
        summary = f"{name} is longer than its header says, by {size - position} bytes"
    else:
        summary = f"{name} is truncated: {position - size} bytes are missing at its end"
        at_fault = next(info for info in tensors.values() if info.offset + info.nbytes > size)
    label = None if at_fault is None else _short(at_fault.name)
    return corrupt(name, summary, f"{position} bytes", f"{size} bytes", _DOWNLOAD_AGAIN, label)


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    # Asked for every tensor, so without a loop in Python; a bool is an int by class, not by type.
    if not isinstance(value, list) or not {*map(type, value)} <= {int}:
        return False
    return not value or (min(value) >= 0 and max(value) <= _MAX_DIMENSION)


def _short(value: object) -> str:
    # Hostile headers hold names and lists of megabytes; a message must stay readable.
    text = value if isinstance(value, str) else short_json(value)
    return text if len(text) <= 120 else text[:117] + "..."
