"""The rows of the matrix, as noxfile.py has them."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tests.support.processes import ROOT


@dataclass(frozen=True)
class Row:
    """What the tests look at of a row."""

    python: str
    mindformers: str
    mindspore: str
    wrapt: str


def rows() -> dict[str, Row]:
    """Read noxfile.py without nox, which need not be installed."""
    definitions = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body
    (row,) = [item for item in definitions if isinstance(item, ast.ClassDef) and item.name == "Row"]
    defaults = {
        ast.unparse(field.target): ast.literal_eval(field.value)
        for field in row.body
        if isinstance(field, ast.AnnAssign) and field.value is not None
    }
    (table,) = [
        item.value for item in definitions if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "ROWS"
    ]
    assert isinstance(table, ast.Dict)
    found: dict[str, Row] = {}
    for key, call in zip(table.keys, table.values, strict=True):
        assert key is not None
        assert isinstance(call, ast.Call)
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        wrapt = ast.literal_eval(given["wrapt"]) if "wrapt" in given else defaults["wrapt"]
        found[ast.literal_eval(key)] = Row(*map(ast.literal_eval, call.args), wrapt)
    return found
