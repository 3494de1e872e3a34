"""Every row of the matrix runs in CI, and stands in the documents."""

from __future__ import annotations

import re

import pytest
from tests.support.matrix import rows
from tests.support.processes import ROOT

from mf_qwen3_patch.activation.upstream import TESTED_STACKS


def in_ci() -> dict[str, bool]:
    """Return the rows that ``.ci/run`` runs, and whether with the sweeps; the first is that of ``make test``."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (loop,) = re.findall(r"^for row in (.+); do$", text, re.MULTILINE)
    (left_out,) = re.findall(r'^ *make test-matrix ROWS="\$row"(?: SELECT="(.+)")?$', text, re.MULTILINE)
    assert "make test\n" in text
    assert left_out in ("", "not sweep")
    return {"1.7.0": True} | dict.fromkeys(loop.split(), not left_out)


def test_ci_leaves_no_row_out() -> None:
    assert sorted(in_ci()) == sorted(rows())


def test_both_generations_come_first() -> None:
    # What runs last is what a slow machine leaves out: of each generation the first row comes before any second one.
    order = list(in_ci())
    assert [row.partition(".")[0] for row in order[:2]] == ["1", "2"]


def test_contributing_says_what_ci_runs_on_each_row() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\d\..+) \| every test( but the sweeps)?\b", text, re.MULTILINE)
    said = {row: not rest for names, rest in table for row in re.findall(r"\d+\.\d+\.\d+(?:-oldest)?", names)}

    assert said == in_ci()


@pytest.mark.parametrize(("page", "joined_by"), [("compatibility.md", " with "), ("compatibility.zh.md", r" \+ ")])
@pytest.mark.parametrize("stack", TESTED_STACKS, ids=lambda stack: stack["mindformers"])
def test_the_page_of_what_is_tested_names_it(page: str, joined_by: str, stack: dict[str, str]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")

    assert re.search(rf"\b{stack['mindformers']}{joined_by}(mindspore )?{stack['mindspore']}\b", text)
