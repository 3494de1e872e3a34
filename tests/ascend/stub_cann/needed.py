"""What the installed MindSpore's Ascend plugin needs of CANN, read from the plugin itself.

The symbols that nothing in MindSpore or in the system defines, the names that it looks up at run time (they stand
in it as strings), and the libraries that it names.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = (
    *("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgomp.so.1", "libgcc_s.so.1"),
    *("libpthread.so.0", "libdl.so.2", "librt.so.1"),
)
# Loaded whatever the strings in the plugin say.
_LIBRARIES = {"libascendcl.so", "libc_sec.so", "libalog.so", "libunified_dlog.so", "libascendalog.so"}
# Beside the plugin, but not of it: other devices, data processing, another processor.
_NOT_PLUGIN = re.compile(r"gpu|libakg|dvpp_utils|cpu_kernels|custom_")
# The names that are looked up at run time. Also as the tail of a longer word: the linker lets strings share an end.
_LOOKED_UP = re.compile(
    r"(?=((?:acl(?:nn|rt|mdl|op|prof|tdt|dump)?[A-Z]|Hccl[A-Z]|Hcom[A-Z]|Msprof[A-Z]|^rt[A-Z]|^hal[A-Z]"
    r"|(?:UnInit|Init|Release)HugeMem|(?:UnInit|Init|Set|CanUse)PTA)\w*)$)"
)
_WORD = re.compile(rb"(?<![\w.])\w{4,90}(?=\0)")
_LIBRARY = re.compile(rb"(?<![\w.])lib\w+\.so(?=\0)")


@dataclass(frozen=True)
class Needed:
    """What a stub has to provide."""

    symbols: tuple[str, ...]
    libraries: tuple[str, ...]


def plugin_libraries(mindspore: Path) -> list[Path]:
    """Return the shared objects of the Ascend plugin; none where the wheel has no plugin."""
    found = (path for path in mindspore.rglob("*.so*") if path.is_file())
    return [
        path
        for path in found
        if "ascend" in (name := str(path.relative_to(mindspore))) and not _NOT_PLUGIN.search(name)
    ]


def needed(mindspore: Path) -> Needed:
    """Return what the plugin of the MindSpore in that directory needs and nobody there defines."""
    plugin = plugin_libraries(mindspore)
    everything = [path for path in mindspore.rglob("*.so*") if path.is_file() and "gpu" not in path.name]
    # With a version (memcpy@GLIBC_2.14) it is the system's. "U": must be there, unlike "w".
    missing = {name for kind, name in symbols(plugin, "--undefined-only") if kind == "U" and "@" not in name}
    looked_up: set[str] = set()
    libraries: set[str] = set()
    for path in plugin:
        text = path.read_bytes()
        words = (word.decode("ascii", "ignore") for word in set(_WORD.findall(text)))
        looked_up |= {name for word in words if not word.startswith("_Z") for name in _LOOKED_UP.findall(word)}
        libraries |= {name.decode() for name in _LIBRARY.findall(text)}
    # An operator is two functions, of which the second one's name is put together.
    aclnn = {name for name in looked_up if name.startswith("aclnn") and not name.endswith("WorkspaceSize")}
    looked_up |= {f"{name}GetWorkspaceSize" for name in aclnn}
    names = (missing | looked_up) - {name.partition("@")[0] for _, name in symbols(everything, "--defined-only")}
    names -= _defined_by_the_system(names)
    return Needed(tuple(sorted(names)), tuple(sorted(libraries - {path.name for path in everything} | _LIBRARIES)))


def symbols(libraries: Iterable[Path], which: str) -> list[tuple[str, str]]:
    """Return kind and name of the dynamic symbols; ``which`` is an option of nm."""
    done = subprocess.run(["nm", "-D", which, *map(str, libraries)], capture_output=True, text=True, check=False)
    lines = (line.split() for line in done.stdout.splitlines() if not line.endswith(":"))
    return [(words[-2], words[-1]) for words in lines if len(words) >= 2]


def _defined_by_the_system(names: set[str]) -> set[str]:
    loaded: list[ctypes.CDLL] = [ctypes.pythonapi]
    for library in _SYSTEM:
        try:
            loaded.append(ctypes.CDLL(library))
        except OSError:
            continue
    return {name for name in names if any(hasattr(library, name) for library in loaded)}
