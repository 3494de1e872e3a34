"""docs/install.md, command by command, in environments of their own, and without a network where it says so."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.checkpoints import QWEN3_14B, write_sparse_checkpoint
from tests.support.installed import clean_environment
from tests.support.namespaces import without_network
from tests.support.processes import ROOT

pytestmark = pytest.mark.sweep

PAGE = ROOT / "docs" / "install.md"
DOCKERFILE = ROOT / "examples" / "Dockerfile"
GREETING = "你好！我是通义千问，由阿里云开发的AI助手"
HERE = Path(sysconfig.get_path("purelib"))

# They ask the network or a daemon, which the tests don't.
NEEDS_NETWORK = (
    "pip install mindformers==1.7.0 mindspore==2.7.1",
    "pip download --dest wheels",
    "checker/bin/pip install numpy wrapt pyyaml",
    "docker build",
)


def blocks() -> dict[str, list[str]]:
    """Return the page's commands, by section."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = zip(parts[::2], parts[1::2], strict=True)
    found = {title: re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) for title, text in sections}
    return {title: [line for block in texts for line in block.splitlines()] for title, texts in found.items()}


def offline_commands(title: str) -> list[str]:
    """Return the section's commands that are said to need no network; at least one."""
    commands = [line for line in blocks()[title] if not line.startswith(NEEDS_NETWORK)]
    assert commands
    return commands


@dataclass(frozen=True)
class Machine:
    """A directory in which a user works, with an interpreter of its own as ``python`` and ``pip``.

    Attributes:
        place: The working directory.
        python: The interpreter.
    """

    place: Path
    python: Path

    def run(self, *commands: str, good: bool = True, **variables: str) -> str:
        """Run shell commands without a network; return all that they printed."""
        programs = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        environment = clean_environment(PATH=programs, PIP_DISABLE_PIP_VERSION_CHECK="1", **variables)
        finished = subprocess.run(
            without_network("bash", "-euc", "\n".join(commands)),
            cwd=self.place,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=300,
        )
        assert (finished.returncode == 0) is good, finished.stdout[-4000:]
        return finished.stdout

    def distributions(self) -> dict[str, str]:
        """Return what pip sees, but not the project itself: names and versions."""
        listed = json.loads(self.run("pip list --format=json").splitlines()[-1])
        return {item["name"]: item["version"] for item in listed if item["name"] != "mf-qwen3-patch"}


def lend(place: Path, entries: Iterable[Path]) -> Path:
    """Make a directory with links to packages that are installed here."""
    place.mkdir(parents=True)
    for entry in entries:
        (place / entry.name).symlink_to(entry)
    return place


def packages(*names: str) -> list[Path]:
    """Return what belongs to these packages here: the modules, libraries and metadata."""
    chosen = {
        name: [path for path in HERE.iterdir() if re.match(rf"{name}\b(?!-stubs)", path.name, re.I)] for name in names
    }
    assert all(chosen.values())
    return [path for paths in chosen.values() for path in paths]


def others(*names: str) -> list[Path]:
    """Return everything that is installed here, but these packages, the project, and what starts with the interpreter."""
    left_out = packages(*names)
    return [
        path
        for path in HERE.iterdir()
        if path not in left_out and path.suffix != ".pth" and "mf_qwen3_patch" not in path.name
    ]


def machine(place: Path, entries: Iterable[Path]) -> Machine:
    """Make an environment with these packages and the wheel in ``dist/``."""
    venv.create(place / ".venv", with_pip=True, symlinks=True)
    python = place / ".venv" / "bin" / "python"
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(place / ".venv")}))
    # Before 3.12 Python puts an old setuptools there, which would hide the one that is lent.
    for old in site_packages.glob("setuptools*"):
        shutil.rmtree(old)
    # First in the order of names, since the shim needs wrapt as soon as its own .pth is executed.
    (site_packages / "__lent.pth").write_text(f"{lend(place / 'lent', entries)}\n")
    return Machine(place, python)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as ``make wheel`` builds it, with this interpreter instead of a new ``.venv``."""
    place = tmp_path_factory.mktemp("wheel")
    stamp = place / "venv" / ".installed-build"
    (place / "venv" / "bin").mkdir(parents=True)
    (place / "venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (place / "venv" / "bin" / "python").chmod(0o755)
    stamp.touch()
    command = ["make", "wheel", f"VENV={place / 'venv'}", f"DIST={place / 'dist'}"]
    subprocess.run(without_network(*command), cwd=ROOT, env=clean_environment(), check=True, capture_output=True)
    (built,) = (place / "dist").iterdir()
    return built


@pytest.fixture
def full(tmp_path: Path, wheel: Path) -> Machine:
    """An environment with MindFormers and MindSpore."""
    made = machine(tmp_path, others())
    shutil.copytree(wheel.parent, tmp_path / "dist")
    return made


def skip_if_mindformers_lacks_something(machine: Machine) -> None:
    """Skip on a row of the matrix whose requirements can't all be had: pip would look for them."""
    unmet = re.findall(r"^mindformers .+$", machine.run("pip check || true"), re.MULTILINE)
    if unmet:
        pytest.skip(unmet[0])


def test_there_is_really_no_network() -> None:
    connect = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)"
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-c", connect, str(server.getsockname()[1])]
        assert subprocess.run(command, check=False).returncode == 0
        assert subprocess.run(without_network(*command), capture_output=True, check=False).returncode != 0


def test_every_section_with_commands_is_tried_here() -> None:
    tried = {"Make the wheel", "Beside MindFormers", "Without a network", "Into a container", "check alone on a laptop"}

    assert {title for title, lines in blocks().items() if lines} == {
        *tried,
        "Into a new environment",
        "Upgrade",
        "Uninstall",
    }


def test_both_ways_to_make_the_wheel_make_the_same(wheel: Path, tmp_path: Path) -> None:
    make, pip = blocks()["Make the wheel"]
    assert make == "make wheel"
    commands = [pip.replace("--wheel-dir dist .", f"--wheel-dir {tmp_path / 'dist'} {ROOT}")]
    Machine(tmp_path, Path(sys.executable)).run(*commands)

    assert (tmp_path / "dist" / wheel.name).read_bytes() == wheel.read_bytes()


def test_beside_mindformers_nothing_else_changes(full: Machine) -> None:
    before = full.distributions()
    install, status, contract = offline_commands("Beside MindFormers")
    full.run(install)
    full.run(contract)

    assert "mindformers" in before
    assert full.distributions() == before
    assert "import failed" not in full.run(status)


def test_without_no_deps_the_stack_stays_as_it_is(full: Machine) -> None:
    skip_if_mindformers_lacks_something(full)
    before = full.distributions()
    (install,) = [line for line in blocks()["Beside MindFormers"] if line.startswith("pip install")]
    full.run(install.replace(" --no-deps", ""))

    assert full.distributions() == before


def test_beside_a_mindformers_that_only_pythonpath_knows(wheel: Path, tmp_path: Path) -> None:
    known = machine(tmp_path, others("mindformers"))
    shutil.copytree(wheel.parent, tmp_path / "dist")
    clone = lend(tmp_path / "clone", [HERE / "mindformers"])
    install, _, contract = offline_commands("Beside MindFormers")

    missing = known.run(install.replace(" --no-deps", ""), good=False)
    assert "No matching distribution found for mindformers" in missing
    known.run(install)
    known.run(contract, PYTHONPATH=str(clone))


def test_from_a_directory_of_wheels(full: Machine) -> None:
    skip_if_mindformers_lacks_something(full)
    (full.place / "dist").rename(full.place / "wheels")
    (install,) = offline_commands("Without a network")
    full.run(install)

    assert "will load" in full.run(
        "python -m mf_qwen3_patch check $(python -c 'import mf_qwen3_patch; print(mf_qwen3_patch.__path__[0])')/micro_qwen3"
    )


def test_the_steps_of_the_dockerfile(full: Machine) -> None:
    image = full.place / "image"
    text = DOCKERFILE.read_text(encoding="utf-8").replace("/opt/", f"{image}/")
    steps = [line.partition(" ")[::2] for line in text.splitlines() if line and not line.startswith("#")]
    environment: dict[str, str] = {}
    for instruction, argument in steps:
        if instruction == "COPY":
            source, target = argument.split()
            full.run(f"mkdir -p {target}", f"cp {source} {target}")
        elif instruction == "RUN":
            full.run(argument, **environment)
        elif instruction == "ENV":
            environment.update([argument.split("=")])
        else:
            assert instruction in ("ARG", "FROM")

    assert {instruction for instruction, _ in steps} == {"ARG", "FROM", "COPY", "RUN", "ENV"}
    assert full.run("python -c \"import sys; print('mf_qwen3_patch' in sys.modules)\"", **environment) == "True\n"


def test_the_container_s_commands_name_what_is_there() -> None:
    make, docker = blocks()["Into a container"]

    assert make == "make wheel"
    assert "--file examples/Dockerfile" in docker
    assert "--build-arg BASE=" in docker
    assert re.search(r"^ARG BASE\nFROM \$\{BASE\}$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)


def test_check_alone_needs_two_packages_and_a_third_for_a_yaml(wheel: Path, tmp_path: Path) -> None:
    # Few layers: the whole model would not be said to load where the host lacks the memory for it.
    model = write_sparse_checkpoint(tmp_path / "Qwen3-14B", shards=8, **(QWEN3_14B | {"num_hidden_layers": 2}))
    (tmp_path / "predict_qwen3.yaml").write_text("model:\n  model_config:\n    compute_dtype: bfloat16\n")
    shutil.copytree(wheel.parent, tmp_path / "dist")
    create, install, plain, with_yaml = [
        line.replace("/data/Qwen3-14B", str(model)) for line in offline_commands("check alone on a laptop")
    ]
    laptop = Machine(tmp_path, Path(sys.executable))
    laptop.run(create)
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "checker")}))
    two = lend(tmp_path / "two", packages("numpy", "wrapt"))
    (site_packages / "__lent.pth").write_text(f"{two}\n")
    laptop.run(install)

    assert "will load" in laptop.run(plain)
    assert "pip install pyyaml" in laptop.run(with_yaml, good=False)
    third = lend(tmp_path / "third", packages("yaml", "_yaml", "pyyaml"))
    (site_packages / "__lent.pth").write_text(f"{two}\n{third}\n")
    assert "will load" in laptop.run(with_yaml)
    # The other commands that are said to need no more.
    assert "startup" in laptop.run("checker/bin/python -m mf_qwen3_patch startup-file")
    (tmp_path / "program.py").write_text("import sys; print('mf_qwen3_patch' in sys.modules)\n")
    assert laptop.run("checker/bin/python -m mf_qwen3_patch run program.py") == "True\n"
    assert "mindformers not installed" in laptop.run("checker/bin/python -m mf_qwen3_patch status || true")


def test_upgrade_and_uninstall(full: Machine) -> None:
    (install, *_), (upgrade,), (uninstall,) = map(offline_commands, ("Beside MindFormers", "Upgrade", "Uninstall"))
    before = full.distributions()
    full.run(install)
    (installed,) = (full.place / ".venv").rglob("mf_qwen3_patch/_version.py")
    installed.write_text("older\n")
    full.run(upgrade)

    assert "__version__" in installed.read_text()
    assert full.distributions() == before
    full.run(uninstall)
    assert list((full.place / ".venv").rglob("mf[_-]qwen3*")) == []
    assert full.distributions() == before


def test_from_nothing_to_the_greeting_by_what_the_readme_says(full: Machine) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    make, *install = re.findall(r"^```sh\n(make wheel\n.*?)^```$", text, re.DOTALL | re.MULTILINE)[0].splitlines()
    (selftest,) = re.findall(r"^python -m mf_qwen3_patch selftest.*$", text, re.MULTILINE)
    commands = [make, *install, re.sub(r"[\[\]]|--json", "", selftest)]

    assert len(commands) <= 5
    # The first has made the wheel of this environment already; a stranger has nothing else of the repository.
    assert GREETING in full.run(*commands[1:])
