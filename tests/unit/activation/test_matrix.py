"""What ``status`` calls tested is what the matrix tests."""

from __future__ import annotations

import ast
import re
from typing import Any

from tests.support.processes import ROOT

from mf_qwen3_patch.activation.upstream import TESTED_STACKS


def rows() -> dict[str, tuple[str, ...]]:
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROWS":
            found: dict[str, tuple[str, ...]] = ast.literal_eval(node.value)
            return found
    raise AssertionError("noxfile.py has no ROWS")


def stack(packages: tuple[str, ...] | list[str]) -> dict[str, Any]:
    pinned = (package.split("==") for package in packages if "==" in package)
    return {name: version for name, version in pinned if name in ("mindformers", "mindspore")}


def test_every_row_is_a_tested_stack_and_the_other_way_round() -> None:
    in_rows = [stack(packages) for packages in rows().values()]
    assert all(tested in in_rows for tested in TESTED_STACKS)
    assert all(row in TESTED_STACKS for row in in_rows)


def test_both_generations_of_wrapt_and_both_pythons_have_a_row() -> None:
    assert {python for python, *_ in rows().values()} == {"3.10", "3.11"}
    assert {package for _, *packages in rows().values() for package in packages if package.startswith("wrapt")} == {
        "wrapt>=2",
        "wrapt==1.17.*",
    }


def test_the_makefile_names_the_rows_and_a_tested_stack() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = dict(re.findall(r"^(STACK|ROWS)\s*\?= (.+)$", makefile, re.MULTILINE))
    assert named["ROWS"].split() == list(rows())
    assert stack(named["STACK"].split()) in TESTED_STACKS
