"""C for the functions of CANN whose answer does not matter.

x86-64 only: a C++ object that is made or returned is cleared through the first argument, which is that
processor's way to return one.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

# Operators and collectives: their launch is noted. What begins with Hccl and one of the others manages groups.
_LAUNCH = re.compile(r"(aclnn\w+?|Hccl(?!Get|Comm|Create|Destroy|Set|Group)\w+)$")
# C++ classes of the graph engine that are made while the plugin is loaded, with their sizes.
_CLASSES = {
    "AscendString": 16,
    "Shape": 16,
    "Tensor": 16,
    "TensorDesc": 16,
    "Operator": 24,
    "Graph": 24,
    "GraphBuffer": 16,
    "TensorType": 16,
    "Promote": 16,
}
# Methods that return an object.
_RETURN = {
    "GetShape": 16,
    "GetOriginShape": 16,
    "GetTensorDesc": 16,
    "GetOutputDesc": 16,
    "CreateOperator": 24,
    "GetDims": 24,
}
_METHOD = re.compile(r"(?:ge::)?(?:\w+::)*?(\w+)::(~?\w+)\(")


def c_source(names: Sequence[str]) -> str:
    """Return a definition of each of the names."""
    lines = ["/* Made by generate.py. */", "typedef long word;", "int rehearsal_launch(const char *name);"]
    lines += [_definition(name, readable) for name, readable in zip(names, _demangled(names), strict=True)]
    return "\n".join(lines) + "\n"


def _definition(name: str, readable: str) -> str:
    method = _METHOD.match(readable)
    owner, called = method.groups() if method else ("", "")
    size = _CLASSES.get(owner, 0) if owner == called else _RETURN.get(called, 0)
    if name.startswith("_ZT"):  # the type or the table of a class
        return f"word {name}[32];"
    if size:
        return f"void *{name}(word *o) {{ for (int i = 0; i < {size // 8}; i++) o[i] = 0; return o; }}"
    if _LAUNCH.match(name) and not name.endswith("GetWorkspaceSize"):
        return f'int {name}(void) {{ return rehearsal_launch("{name}"); }}'
    return f"word {name}(void) {{ return 0; }}"


def _demangled(names: Sequence[str]) -> list[str]:
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
