"""Builds the emulated device: the stub CANN (see ../stub_cann) with operators that compute, for the installed MindSpore.

Needs g++, besides what the stub needs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.ascend.stub_cann import build as stub_cann

_HERE = Path(__file__).parent
_LIBRARY = "libascendcl.so"  # all of the stub, to which its other libraries refer
_STUB = "libstub.so"  # what it becomes; nothing with "cann" in its name, which MindSpore looks for
_HEADERS = "lib/plugin/ascend/ms_kernels_internal/internal_kernel"
_FACTORY = re.compile(r"InternalOpPtr (Create(\w+)Op)\(([^)]*)\);")
_PARAMETER_NAME = re.compile(r" &\w+\s*(?=,|$)")


def why_not() -> str | None:
    """Return the reason why no emulated device can be built here, or None."""
    if shutil.which("g++") is None:
        return "g++ not found: the emulated device is compiled (install g++)"
    return stub_cann.why_not()


def build(stub: Path, directory: Path) -> None:
    """Build the emulated device above a stub into ``directory``, which must not exist yet; it appears when complete."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as unfinished:
        copy = Path(unfinished, "device")
        shutil.copytree(stub, copy)
        _build(copy / stub_cann.ROOT, stub_cann.mindspore_directory() / _HEADERS)
        copy.rename(directory)


def preload(directory: Path) -> dict[str, str]:
    """Return what is added to the stub's environment.

    The library comes first, so that MindSpore finds these kernels in place of Huawei's.
    """
    library = directory / stub_cann.ROOT / "lib64" / _LIBRARY
    return {"LD_PRELOAD": f"{library}:{stub_cann.environment(directory)['LD_PRELOAD']}"}


def absent_kernels(header: Path, sources: list[Path]) -> str:
    """Return C++ for the factories in MindSpore's header that no source defines: of kernels that are not there."""
    written = "\n".join(path.read_text() for path in sources)
    lines = ['#include "absent_kernel.h"', "namespace mindspore::internal {"]
    for factory, kernel, parameters in _FACTORY.findall(header.read_text()):
        if not re.search(rf"\({factory}, ", written):
            unnamed = _PARAMETER_NAME.sub(" &", parameters)
            lines.append(f'InternalOpPtr {factory}({unnamed}) {{ return emulated::absent_kernel("{kernel}"); }}')
    return "\n".join([*lines, "}"]) + "\n"


def _build(root: Path, headers: Path) -> None:
    library, below = root / "lib64" / _LIBRARY, root / "lib64" / _STUB
    stub_cann.compile_stub(root, below)
    sources, generated = sorted(_HERE.glob("*.cpp")), root / "absent_kernels.cpp"
    generated.write_text(absent_kernels(headers / "include/op_creator.h", sources))
    # The ABI is that of MindSpore's own strings.
    options = ["-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-D_GLIBCXX_USE_CXX11_ABI=0"]
    options += ["-I", str(_HERE), "-isystem", str(headers), f"-Wl,-soname,{library.name}", "-o", str(library)]
    libraries = ["-Wl,--no-as-needed", str(below), "-Wl,-rpath,$ORIGIN", "-ldl"]
    subprocess.run(["g++", *options, *map(str, sources), str(generated), *libraries], check=True)
