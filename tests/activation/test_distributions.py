"""What is published: an sdist and a wheel, built offline, installed into a clean venv and tried out there."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.installed import build, install, start, uninstall
from tests.support.processes import ROOT

import mf_qwen3_patch

pytestmark = pytest.mark.sweep

PACKAGE = "mf_qwen3_patch"
PTH = f"{PACKAGE}.pth"
STEM = f"{PACKAGE}-{mf_qwen3_patch.__version__}"


@dataclass(frozen=True)
class Built:
    """What was built, and the sdist's content in a directory."""

    sdist: Path
    unpacked: Path
    wheel: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    place = tmp_path_factory.mktemp("dist")
    sdist = build("sdist", ROOT, place)
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    unpacked = place / STEM
    return Built(
        sdist, unpacked, build("wheel", ROOT, place), build("wheel", unpacked, tmp_path_factory.mktemp("again"))
    )


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def python(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter in whose venv that is installed."""
    return install(tmp_path_factory.mktemp(request.param) / "venv", getattr(built, request.param))


def run(*command: object, cwd: Path, **variables: str) -> str:
    """Run a command to its good end, and return what it printed."""
    finished = start(*command, cwd=cwd, timeout=300, **variables)
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-4000:]
    return finished.stdout


def files(top: Path) -> Iterator[str]:
    """Yield all files below ``top``, relative to its parent, but not those that Python and other tools leave there."""
    for path in top.rglob("*"):
        place = path.relative_to(top.parent)
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in place.parts):
            yield place.as_posix()


def test_the_wheel_is_the_package_and_its_pth(built: Built) -> None:
    names = {name for name in zipfile.ZipFile(built.wheel).namelist() if not name.startswith(f"{STEM}.dist-info/")}

    assert built.wheel.name == f"{STEM}-py3-none-any.whl"
    pages = {f"{PACKAGE}/troubleshooting/troubleshooting{language}.md" for language in ("", ".zh")}
    assert names == {*files(ROOT / "src" / PACKAGE), PTH, *pages}
    assert {f"{PACKAGE}/py.typed", f"{PACKAGE}/micro_qwen3/model.safetensors"} <= names
    assert {f"{PACKAGE}/activation/injection/{name}.py" for name in ("pythonstartup", "sitecustomize")} <= names


def test_the_sdist_makes_the_same_wheel(built: Built) -> None:
    assert built.wheel_of_sdist.name == built.wheel.name
    assert built.wheel_of_sdist.read_bytes() == built.wheel.read_bytes()


def test_the_sdist_has_every_source_test_example_and_document(built: Built) -> None:
    for folder in ("src", "tests", "scripts", "examples", "benchmarks", "docs"):
        assert set(files(built.unpacked / folder)) == set(files(ROOT / folder)), folder


def test_the_sdist_passes_tests_of_its_own(built: Built) -> None:
    """Those that are fast, and those that read files beside the sources."""
    unit = [f"tests/unit/{name}.py" for name in ("activation/test_matrix", "activation/test_registry", "test_settings")]
    documents = [f"tests/docs/test_{name}.py" for name in ("codes", "languages", "reference")]
    options = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    *_, last = run(sys.executable, "-m", "pytest", *options, *unit, *documents, cwd=built.unpacked).splitlines()

    assert "passed" in last
    assert "skipped" not in last


def test_it_is_what_is_imported_and_has_the_same_version_everywhere(python: Path, tmp_path: Path) -> None:
    script = """
        import importlib.metadata, mf_qwen3_patch
        print(importlib.metadata.version("mf-qwen3-patch"), mf_qwen3_patch.__version__, mf_qwen3_patch.__file__)
    """
    distribution, package, file = run(
        python, "-c", "\n".join(map(str.strip, script.splitlines())), cwd=tmp_path
    ).split()

    assert distribution == package == mf_qwen3_patch.__version__
    assert Path(file).is_relative_to(python.parents[1])


@pytest.mark.parametrize(("value", "expected"), [("1", "True"), ("strict", "True"), ("0", "False"), ("", "False")])
def test_the_pth_asks_the_variable(value: str, expected: str, python: Path, tmp_path: Path) -> None:
    script = "import sys; print('mf_qwen3_patch' in sys.modules)"

    assert run(python, "-c", script, cwd=tmp_path, MF_QWEN3_PATCH=value).strip() == expected


def test_check_finds_the_micro_model_beside_the_package(python: Path, tmp_path: Path) -> None:
    (micro,) = python.parents[1].glob(f"lib/python*/site-packages/{PACKAGE}/micro_qwen3")

    assert "will load" in run(python, "-m", PACKAGE, "check", micro, cwd=tmp_path)


@pytest.mark.parametrize("python", ["sdist"], indirect=True)  # its wheel is the other one, to the byte
def test_selftest(python: Path, tmp_path: Path) -> None:
    assert "selftest passed on CPU" in run(python, "-m", PACKAGE, "selftest", "--device", "CPU", cwd=tmp_path)


def test_the_command(python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; print('mf_qwen3_patch' in sys.modules, sys.argv[1:])\n")
    command = python.with_name("mf-qwen3-run")

    assert "Run a Python program" in run(command, "--help", cwd=tmp_path)
    assert run(command, "program.py", "--own", cwd=tmp_path) == "True ['--own']\n"
    command = python.with_name("mf-qwen3")
    assert run(command, "--version", cwd=tmp_path) == f"{PACKAGE} {mf_qwen3_patch.__version__}\n"
    assert "MFQ002 IncompleteCheckpoint" in run(command, "explain", "MFQ002", "--lang", "zh", cwd=tmp_path)


def test_the_startup_file_is_there(python: Path, tmp_path: Path) -> None:
    path = Path(run(python, "-m", PACKAGE, "startup-file", cwd=tmp_path).strip())

    assert path.is_file()
    assert path.is_relative_to(python.parents[1])


def test_uninstalling_takes_everything_away(built: Built, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", built.wheel)
    run(python, "-m", PACKAGE, "startup-file", cwd=tmp_path, MF_QWEN3_PATCH="1")
    venv = python.parents[1]
    assert list(venv.rglob("mf[_-]qwen3*"))
    uninstall(python)

    assert list(venv.rglob("mf[_-]qwen3*")) == []
    script = "import sys; print('mf_qwen3_patch' in sys.modules)"
    assert run(python, "-c", script, cwd=tmp_path, MF_QWEN3_PATCH="1") == "False\n"
