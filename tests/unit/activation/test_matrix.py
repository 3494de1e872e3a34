"""What ``status`` calls tested is what the matrix tests."""

from __future__ import annotations

import re

from tests.support.matrix import rows
from tests.support.processes import ROOT

from mf_qwen3_patch.activation.upstream import TESTED_STACKS


def stack(requirements: list[str]) -> dict[str, str]:
    pinned = (requirement.split("==") for requirement in requirements if "==" in requirement)
    return {name: version for name, version in pinned if name in ("mindformers", "mindspore")}


def test_every_row_is_a_tested_stack_and_the_other_way_round() -> None:
    tested = {(stack["mindformers"], stack["mindspore"]) for stack in TESTED_STACKS}

    assert tested == {(row.mindformers, row.mindspore) for row in rows().values()}


def test_both_generations_of_wrapt_and_both_pythons_have_a_row() -> None:
    assert {row.python for row in rows().values()} == {"3.10", "3.11"}
    assert {row.wrapt for row in rows().values()} == {"wrapt>=2", "wrapt==1.17.*"}


def test_the_makefile_names_the_rows_and_a_tested_stack() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = dict(re.findall(r"^(STACK|ROWS)\s*\?= (.+)$", makefile, re.MULTILINE))
    assert named["ROWS"].split() == list(rows())
    assert stack(named["STACK"].split()) in TESTED_STACKS
