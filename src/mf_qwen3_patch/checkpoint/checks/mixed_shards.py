"""Signs that the shards of a checkpoint are not of one save.

Two revisions of one model have the same names, shapes and dtypes, and values of the same scale: where they are mixed,
nothing shows it. What does show is that one program has not written all of them: another note of the format, or
another dtype for the same weights of other layers.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import DTYPE_NAMES, Header

_ADVICE = (
    "the shards are probably not of one save: compare their checksums with those of one revision, or download all of "
    "them again"
)


def mixed_shards(checkpoint: Checkpoint) -> list[str]:
    """Warn if the shards' headers differ in what one program writes alike into all of them."""
    headers = {path: header for path, header in checkpoint.headers.items() if path.parent == checkpoint.directory}
    return [found for found in (_formats(headers), _dtypes(checkpoint, headers)) if found]


def _formats(headers: dict[Path, Header]) -> str:
    formats: dict[str | None, str] = {}
    for path, header in headers.items():
        formats.setdefault(header.metadata.get("format"), path.name)
    if len(formats) < 2:
        return ""
    said = "; ".join(f"{file}: {'none' if kind is None else short_repr(kind)}" for kind, file in formats.items())
    return f"the headers name different formats of the program that wrote them ({said}): {_ADVICE}"


def _dtypes(checkpoint: Checkpoint, headers: dict[Path, Header]) -> str:
    """Compare tensors of one role, in files that have all of their layers' in one dtype."""
    roles: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
    for path, header in headers.items():
        for name, info in header.tensors.items():
            parsed = checkpoint.names.get(name)
            if parsed is not None and parsed.layer is not None:
                roles[parsed.role].setdefault(path.name, set()).add(info.dtype)
    for role, files in roles.items():
        pure = {file: next(iter(dtypes)) for file, dtypes in files.items() if len(dtypes) == 1}
        if len(pure) < len(files) or not set(pure.values()) <= DTYPE_NAMES.keys():
            continue
        first, dtype = next(iter(pure.items()))
        other = next((file for file, found in pure.items() if found != dtype), None)
        if other is not None:
            both = f"in {DTYPE_NAMES[dtype]} in {first}, but in {DTYPE_NAMES[pure[other]]} in {other}"
            return f"the layers have their {role} {both}: {_ADVICE}"
    return ""
