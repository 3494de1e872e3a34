"""The matrix: each supported MindFormers release, both generations of wrapt, and both Pythons.

Every row runs the whole suite on the real stack; what needs no MindSpore is the same on every release and runs
once for each Python.

``make test-matrix`` runs all rows, ``nox -s "matrix(1.9.0)"`` one. What came out lies in ``.nox/results``, from
which ``python -m scripts.make_matrix_table`` makes the documents' table.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

RESULTS = Path(__file__).parent / ".nox" / "results"
JOBS = os.environ.get("JOBS", "2")

# A row's name, its Python, and what is installed. Which versions fit together, MindFormers' release notes say.
ROWS = {
    "1.7.0": ("3.11", "mindformers==1.7.0", "mindspore==2.7.1", "wrapt>=2"),
    "1.7.0-oldest": ("3.10", "mindformers==1.7.0", "mindspore==2.7.1", "wrapt==1.17.*"),
    "1.8.0": ("3.11", "mindformers==1.8.0", "mindspore==2.7.2", "wrapt>=2"),
    "1.9.0": ("3.11", "mindformers==1.9.0", "mindspore==2.9.0", "wrapt>=2"),
    "2.0.0": ("3.11", "mindformers==2.0.0", "mindspore==2.10.0", "wrapt>=2"),
    "2.1.0": ("3.11", "mindformers==2.1.0", "mindspore==2.10.0", "wrapt>=2"),
}

# What MindFormers 2 needs beside. It imports hyper_parallel, which pip does not find: a placeholder stands in. Newer
# releases of datasets and pyarrow can't be imported with the numpy that it asks for.
SECOND_GENERATION = ("./tests/support/hyper_parallel", "datasets==4.0.0", "pyarrow==23.0.1")
BESIDE = {"2.0.0": SECOND_GENERATION, "2.1.0": SECOND_GENERATION}

# A release whose requirements can't all be had (MindSpore 2.11) is installed without them, over another one's.
OVER = {"2.1.0": "mindformers==2.0.0"}

# The Python on which ``make test`` runs what needs no MindSpore.
UNIT_TESTED = "3.11"

# The last release without a training class for Qwen3, without what it depends on: it must be refused.
REFUSED = "mindformers==1.6.0"


@nox.session
@nox.parametrize("python,row", [(ROWS[row][0], row) for row in ROWS], ids=list(ROWS))
def matrix(session: nox.Session, row: str) -> None:
    """Install one row of the matrix and run the tests on it."""
    _, release, *packages = ROWS[row]
    session.install(OVER.get(row, release), *packages, *BESIDE.get(row, ()), "--editable", ".[test]")
    if row in OVER:
        session.install("--no-deps", release)
    refused = Path(session.create_tmp()).absolute() / "refused"
    session.run(
        "python", "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(refused), REFUSED
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = RESULTS / f"{row}.xml"
    report.unlink(missing_ok=True)
    tests = ["tests/mindformers", "tests/activation", "tests/ascend"] + (
        [] if ROWS[row][0] == UNIT_TESTED else ["tests/unit"]
    )
    session.run(
        *("pytest", "--numprocesses", JOBS, "--dist", "loadfile", f"--junit-xml={report}", *tests, *session.posargs),
        env={"MF_QWEN3_PATCH_TEST_REFUSED": str(refused)},
    )
