"""Builds a stub of CANN, with which the Ascend plugin of the installed MindSpore believes in cards.

    python -m tests.ascend.stub_cann.build DIRECTORY

Needs gcc and binutils, and the Python of an environment that has MindSpore.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.ascend.counters import FIELDS
from tests.ascend.stub_cann.generate import c_source
from tests.ascend.stub_cann.needed import needed, plugin_libraries, symbols

_HERE = Path(__file__).parent
_BY_HAND = [_HERE / "device.c", _HERE / "libc_sec.c"]
ROOT = Path("ascend-toolkit", "latest")
"""Where the stub lies in its directory, as CANN is installed."""

_CARD = """[version]
SoC_version={name}
Short_SoC_version={short}
[SoCInfo]
ai_core_cnt={cube}
cube_core_cnt={cube}
vector_core_cnt={vector}
l2_size=201326592
[AICoreSpec]
cube_freq=1800
l0_a_size=65536
l0_b_size=65536
l0_c_size={l0c}
l1_size={l1}
ub_size={ub}
[AICoreMemoryRates]
ddr_rate=32
l2_rate=110
"""
_CARDS = {
    "Ascend910B2": {"short": "Ascend910B", "cube": 24, "vector": 48, "ub": 196608, "l0c": 131072, "l1": 524288},
    "Ascend310P3": {"short": "Ascend310P", "cube": 8, "vector": 7, "ub": 262144, "l0c": 262144, "l1": 1048576},
}


def why_not() -> str | None:
    """Return the reason why no stub can be built here, or None."""
    absent = [tool for tool in ("gcc", "nm", "c++filt") if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} not found: the stub CANN is compiled (install gcc and binutils)"
    if platform.machine() != "x86_64":
        return f"the stub CANN follows the calling convention of x86-64, this is {platform.machine()}"
    if not plugin_libraries(mindspore_directory()):
        return f"the MindSpore in {mindspore_directory()} has no Ascend plugin"
    return None


def build(directory: Path) -> None:
    """Build the stub into ``directory``, which must not exist yet; it appears when it is complete."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as unfinished:
        root = Path(unfinished, "stub")
        _build(root / ROOT, mindspore_directory())
        root.rename(directory)


def environment(directory: Path) -> dict[str, str]:
    """Return the variables with which a process uses the stub; ``PYTHONPATH`` is to go before what is there."""
    root = directory / ROOT
    return {
        "ASCEND_HOME_PATH": str(root),
        "ASCEND_OPP_PATH": f"{root}/opp",
        "LD_LIBRARY_PATH": f"{root}/lib64",
        "PATH": f"{root}/compiler/ccec_compiler/bin:{os.environ['PATH']}",
        "PYTHONPATH": f"{root}/python:{root}/opp/built-in/op_impl/ai_core/tbe",
        # Two of MindSpore's kernel libraries use libstdc++ without naming it, and Python itself may have none.
        "LD_PRELOAD": f"{root}/lib64/libhost.so:libstdc++.so.6",
        # An operator that is not there cannot be prepared once and be used again.
        "MS_DEV_RUNTIME_CONF": "aclnn_cache_queue_length:0",
    }


def compile_stub(out: Path, library: Path) -> None:
    """Compile all of the stub into one library, when ``out`` holds what was generated for it."""
    _compile(library, [*_BY_HAND, out / "generated.c"], f"-I{out}")


def _build(out: Path, mindspore: Path) -> None:
    lib, python, cards = out / "lib64", out / "python", out / "runtime/data/platform_config"
    for folder in (lib, cards, out / "compiler/ccec_compiler/bin", out / "opp_kernel"):
        folder.mkdir(parents=True)
    (out / "opp/built-in/op_impl/ai_core/tbe").mkdir(parents=True)
    (out / "counters.h").write_text(f"struct counters {{ u64 {', '.join(FIELDS)}; }};\n")
    _compile(out / "by_hand.so", _BY_HAND, f"-I{out}")
    written = {name for _, name in symbols([out / "by_hand.so"], "--defined-only")}
    wanted = needed(mindspore)
    generated, empty = out / "generated.c", out / "empty.c"
    generated.write_text(c_source([name for name in wanted.symbols if name not in written]))
    empty.write_text("")
    everything = lib / "libascendcl.so"
    compile_stub(out, everything)
    _compile(lib / "libhost.so", [_HERE / "host.c"])
    for name in wanted.libraries:  # every other library is a name for the one
        if name != everything.name:
            _compile(lib / name, [empty], "-Wl,--no-as-needed", str(everything), "-Wl,-rpath,$ORIGIN")
    version = _cann_version(mindspore)
    shutil.copytree(_HERE / "packages", python)
    for package in "te", "hccl":
        (python / package / "version.py").write_text(f'version = __version__ = "{version}"\n')
    (python / "hccl/sys_version.py").write_text(f'__sys_version__ = "{version}"\n')
    (out / "compiler/version.info").write_text(f"Version={version}\n")
    for name, numbers in _CARDS.items():
        (cards / f"{name}.ini").write_text(_CARD.format(name=name, **numbers))


def _compile(library: Path, sources: list[Path], *options: str) -> None:
    common = ["gcc", "-shared", "-fPIC", "-O1", "-w", "-fno-builtin", f"-Wl,-soname,{library.name}", "-o", str(library)]
    subprocess.run([*common, *map(str, sources), *options], check=True)


def mindspore_directory() -> Path:
    """Return where the installed MindSpore is."""
    found = importlib.util.find_spec("mindspore")
    if found is None or found.origin is None:
        raise RuntimeError(f"{sys.executable} has no mindspore")
    return Path(found.origin).parent


def _cann_version(mindspore: Path) -> str:
    """Return a release of CANN that is accepted without a warning: the one that the wheel's operators are made for."""
    info = mindspore / "lib/plugin/ascend/custom_ascendc_910b/version.info"
    number = re.search(r"=\s*(\d+\.\d+)", info.read_text()) if info.exists() else None
    return number[1] if number else "8.3"


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
