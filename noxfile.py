"""The matrix, of what the shim runs with, and the oracle: both generations of transformers, which judge it.

The matrix is each supported MindFormers release, both generations of wrapt, and both Pythons.

Every row runs the whole suite on the real stack; what needs no MindSpore is the same on every release and runs
once for each Python.

``make test-matrix`` runs all rows, ``nox -s "matrix(1.9.0)"`` one. What came out lies in ``.nox/results``, from
which ``python -m scripts.make_matrix_table`` makes the documents' table. What follows ``--`` goes to pytest, as in
``nox -s "matrix(1.9.0)" -- -m "not sweep"``; what came out of a part of the tests lies in ``.nox/results/partial``.

``make oracle`` runs both sessions of the oracle, ``nox -s "oracle(5)"`` one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import nox

nox.needs_version = ">=2024.4.15"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

RESULTS = Path(__file__).parent / ".nox" / "results"
JOBS = os.environ.get("JOBS", "2")


class Row(NamedTuple):
    """A row of the matrix. Which versions fit together, MindFormers' release notes say.

    Attributes:
        python: The Python that it runs on.
        mindformers: The release.
        mindspore: The release that goes with it, or the newest before that.
        wrapt: Which releases of wrapt.
        beside: What else is installed.
        requirements_of: The release of MindFormers whose requirements are installed, where those of ``mindformers``
            can't all be had.
    """

    python: str
    mindformers: str
    mindspore: str
    wrapt: str = "wrapt>=2"
    beside: tuple[str, ...] = ()
    requirements_of: str | None = None


# MindFormers 2 imports hyper_parallel, which is not on PyPI: a placeholder stands in. And it takes any newer pyarrow,
# although the newest can't be imported with numpy 1, which it asks for.
SECOND_GENERATION = ("./tests/support/hyper_parallel", "pyarrow==23.0.1")

ROWS = {
    "1.7.0": Row("3.11", "1.7.0", "2.7.1"),
    "1.7.0-oldest": Row("3.10", "1.7.0", "2.7.1", wrapt="wrapt==1.17.*"),
    "1.8.0": Row("3.11", "1.8.0", "2.7.2"),
    "1.9.0": Row("3.11", "1.9.0", "2.9.0"),
    "2.0.0": Row("3.11", "2.0.0", "2.10.0", beside=SECOND_GENERATION),
    # It asks for MindSpore 2.11, which is not on PyPI, and for transformers 5.3.
    "2.1.0": Row("3.11", "2.1.0", "2.10.0", beside=SECOND_GENERATION, requirements_of="2.0.0"),
}

# The Python on which ``make test`` runs what needs no MindSpore.
UNIT_TESTED = "3.11"

# The last release without a training class for Qwen3, without what it depends on: it must be refused.
REFUSED = "mindformers==1.6.0"


@nox.session
@nox.parametrize("python,name", [(row.python, name) for name, row in ROWS.items()], ids=list(ROWS))
def matrix(session: nox.Session, name: str) -> None:
    """Install one row of the matrix and run the tests on it."""
    row = ROWS[name]
    release = row.requirements_of or row.mindformers
    stack = (f"mindformers=={release}", f"mindspore=={row.mindspore}", row.wrapt, *row.beside)
    session.install(*stack, "--editable", ".[test]")
    if row.requirements_of is not None:
        session.install("--no-deps", f"mindformers=={row.mindformers}")
    refused = _refused(session)
    results = RESULTS / "partial" if session.posargs else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    report = results / f"{name}.xml"
    report.unlink(missing_ok=True)
    tests = ["tests/mindformers", "tests/activation", "tests/ascend"] + (
        [] if row.python == UNIT_TESTED else ["tests/unit"]
    )
    session.run(
        *("pytest", "--numprocesses", JOBS, "--dist", "loadfile", f"--junit-xml={report}", *tests, *session.posargs),
        env={"MF_QWEN3_PATCH_TEST_REFUSED": str(refused)},
    )


def _refused(session: nox.Session) -> Path:
    """Return a directory with the release that must be refused, the same for all rows."""
    place = RESULTS.parent / REFUSED
    if not place.is_dir():
        growing = place.with_name(f"{REFUSED}.partial")
        session.run("python", "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(growing), REFUSED)
        growing.rename(place)
    return place


# MindFormers asks for transformers 4.51.3; what needs no MindFormers is asked of transformers 5, too.
JUDGES = {"4": "transformers==4.51.3", "5": "transformers>=5.3"}
# Of these only single modules are imported, which say how their formats are read.
FORMATS = ("autoawq==0.2.9", "auto-gptq==0.7.1")


@nox.session(python=UNIT_TESTED)
@nox.parametrize("judge", list(JUDGES), ids=list(JUDGES))
def oracle(session: nox.Session, judge: str) -> None:
    """Check the reference data, and what is computed as transformers does it, against one generation of it."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    libraries = [*project["optional-dependencies"]["oracle"], JUDGES[judge]]
    tests = ["tests/unit"]
    if judge == "4":
        row = ROWS["1.7.0"]
        stack = (f"mindformers=={row.mindformers}", f"mindspore=={row.mindspore}")
        session.install(*stack, *libraries, "--editable", ".[test]")
        tests.append("tests/mindformers")
    else:
        ours = [name for name in project["dependencies"] if not name.startswith(("mindformers", "mindspore"))]
        session.install(*ours, *libraries, "hypothesis>=6.100", "pytest>=8.2")
        session.install("--no-deps", *FORMATS, "--editable", ".")
    session.run("pytest", "-m", "oracle", *tests, *session.posargs)
