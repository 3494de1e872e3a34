"""Safetensors headers, read by hand: names, dtypes, shapes and offsets, without touching the data.

The format (https://github.com/huggingface/safetensors#format): 8 bytes little-endian length N,
N bytes of JSON ``{name: {"dtype", "shape", "data_offsets": [begin, end]}}``, then the data, to which
the offsets are relative. The data have neither gaps nor overlaps and end with the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from mf_qwen3_patch.checkpoint.files.read_file import MAX_JSON_BYTES, CheckpointFile, open_file
from mf_qwen3_patch.checkpoint.files.strict_json import parse_object
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

_LENGTH_BYTES = 8
_MAX_RANK = 32  # numpy's limit, too; keeps the product of a hostile shape small
_MAX_DIMENSION = 2**63 - 1
_METADATA = "__metadata__"
_DOWNLOAD_AGAIN = "download the file again and compare its size and checksum with the source"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """The place of one tensor.

    Attributes:
        name: The tensor's name in the file.
        dtype: The safetensors name, e.g. ``"BF16"``.
        shape: The shape.
        file: The file that holds it.
        offset: Absolute byte offset of its first byte in the file.
        nbytes: Its length in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one safetensors file.

    Attributes:
        tensors: By name.
        metadata: The free-form strings under ``__metadata__``.
        problems: What is wrong with the file, most important first; empty if it is sound.
        nbytes: Length of the header with its prefix, where the data start; 0 if it can't be read.
    """

    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    nbytes: int = 0


def read_header(path: Path) -> Header:
    """Read the header of a sound safetensors file.

    Args:
        path: The file.

    Returns:
        Its tensors and metadata.

    Raises:
        CorruptCheckpoint: The file is damaged; names the file, and the tensor where one shows it.
        IncompleteCheckpoint: The file is not there.
    """
    file = open_file(path)
    try:
        header = inspect_header(file)
    finally:
        file.close()
    if header.problems:
        raise error_for(header.problems, str(path.parent))
    return header


def inspect_header(file: CheckpointFile) -> Header:
    """Read the header like :func:`read_header`, but return what is wrong instead of raising it.

    A truncated or overlong file still lists its tensors, so that the config can be checked too.

    Args:
        file: The open file.
    """
    name = file.name
    try:
        length = _header_length(file.read(0, min(_LENGTH_BYTES, file.size)), file.size, name)
        text = file.read(_LENGTH_BYTES, length)
        raw = parse_object(text, file=name, what=f"the header of {name}", advice=_DOWNLOAD_AGAIN)
        metadata = _metadata(raw.pop(_METADATA, {}), name)
        start = _LENGTH_BYTES + length
        tensors = {key: _tensor(key, value, file.path, name, start) for key, value in raw.items()}
    except CheckpointError as error:
        return Header(problems=error.problems)
    problem = _layout_problem(tensors, name, start, file.size)
    return Header(tensors, metadata, () if problem is None else (problem,), start)


def _fail(summary: str, name: str, **details: Any) -> NoReturn:
    details.setdefault("advice", _DOWNLOAD_AGAIN)
    raise CorruptCheckpoint([Problem(CorruptCheckpoint, summary, file=name, **details)])


def _header_length(prefix: bytes, size: int, name: str) -> int:
    if len(prefix) < _LENGTH_BYTES:
        _fail(
            f"{name} is too short for a safetensors file",
            name,
            expected=f"at least {_LENGTH_BYTES} bytes",
            found=f"{len(prefix)} bytes",
        )
    length = int.from_bytes(prefix, "little")
    if length > MAX_JSON_BYTES:
        _fail(
            f"{name} announces a header larger than safetensors allows, so it is not a safetensors file",
            name,
            expected=f"at most {MAX_JSON_BYTES} bytes of header",
            found=f"{length} bytes",
        )
    if length > size - _LENGTH_BYTES:
        _fail(
            f"{name} ends before its header does",
            name,
            expected=f"a header of {length} bytes",
            found=f"{size - _LENGTH_BYTES} bytes in the file after the length",
        )
    return length


def _metadata(raw: object, name: str) -> dict[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        _fail(f"the header of {name} has a {_METADATA} that is not a map of strings", name)
    return raw


def _tensor(key: str, raw: object, path: Path, name: str, start: int) -> TensorInfo:
    label = _short(key)
    if not isinstance(raw, dict):
        kind = type(raw).__name__
        _fail(f"the header of {name} describes a tensor by a {kind}", name, tensor=label, found=kind)
    dtype, shape, offsets = raw.get("dtype"), raw.get("shape"), raw.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        _fail(
            f"the header of {name} gives a tensor a dtype that safetensors does not know",
            name,
            tensor=label,
            expected="one of " + ", ".join(DTYPE_BITS),
            found=_short(dtype),
            advice="save the checkpoint again in bfloat16, float16 or float32",
        )
    if not isinstance(shape, list) or len(shape) > _MAX_RANK or not all(_is_size(dimension) for dimension in shape):
        _fail(
            f"the header of {name} gives a tensor an impossible shape",
            name,
            tensor=label,
            expected=f"a list of at most {_MAX_RANK} sizes",
            found=_short(shape),
        )
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(_is_size(offset) for offset in offsets)
        or offsets[0] > offsets[1]
    ):
        _fail(
            f"the header of {name} gives a tensor impossible data_offsets",
            name,
            tensor=label,
            expected="[begin, end] with 0 <= begin <= end",
            found=_short(offsets),
        )
    begin, end = offsets
    bits = prod(shape) * DTYPE_BITS[dtype]
    if (end - begin) * 8 != bits:
        _fail(
            f"the header of {name} gives a tensor another length than its dtype and shape have",
            name,
            tensor=label,
            expected=f"{bits / 8:g} bytes for {dtype} {shape}" if bits < 2**50 else f"{bits // 8} bytes",
            found=f"{end - begin} bytes (data_offsets {offsets})",
        )
    return TensorInfo(key, dtype, tuple(shape), path, start + begin, end - begin)


def _layout_problem(tensors: dict[str, TensorInfo], name: str, start: int, size: int) -> Problem | None:
    """Check that the tensors tile the data section; report the first fault only, it explains the rest."""
    position = start
    last: TensorInfo | None = None
    for tensor in sorted(tensors.values(), key=lambda info: (info.offset, info.nbytes)):
        if tensor.offset != position:
            fault = "overlaps the tensor before it" if tensor.offset < position else "leaves a gap before it"
            return Problem(
                CorruptCheckpoint,
                f"the header of {name} places a tensor so that it {fault}",
                file=name,
                tensor=_short(tensor.name),
                expected=f"offset {position - start}",
                found=f"offset {tensor.offset - start}",
                advice=_DOWNLOAD_AGAIN,
            )
        position = tensor.offset + tensor.nbytes
        last = tensor
    if position == size:
        return None
    if position > size:
        cut = next(t for t in tensors.values() if t.offset + t.nbytes > size)
        return Problem(
            CorruptCheckpoint,
            f"{name} is truncated: {position - size} bytes are missing at its end",
            file=name,
            tensor=_short(cut.name),
            expected=f"{position} bytes",
            found=f"{size} bytes",
            advice=_DOWNLOAD_AGAIN,
        )
    return Problem(
        CorruptCheckpoint,
        f"{name} is longer than its header says, by {size - position} bytes",
        file=name,
        tensor=None if last is None else _short(last.name),
        expected=f"{position} bytes",
        found=f"{size} bytes",
        advice=_DOWNLOAD_AGAIN,
    )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_DIMENSION


def _short(value: object) -> str:
    # Hostile headers hold names and lists of megabytes; a message must stay readable.
    text = value if isinstance(value, str) else repr(value)[:200]
    return text if len(text) <= 120 else text[:117] + "..."
