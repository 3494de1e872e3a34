"""Every name of MindSpore's and MindFormers' that the shim touches is in the contract, and as the contract says."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.json_schema import check_against_schema
from tests.support.processes import ROOT, run_script

from mf_qwen3_patch.activation.contract import CONTRACT, parameters_of

_SOURCES = sorted((ROOT / "src" / "mf_qwen3_patch").rglob("*.py"))
# What everybody uses: MindSpore would be another library without it.
_COMMON = {"mindspore:Parameter", "mindspore:Tensor", "mindspore:ops", "mindspore:mint"}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] in ("mindspore", "mindformers")
        ):
            yield from (f"{node.module}:{alias.name}" for alias in node.names)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    script = """
    import json, runpy, sys
    sys.argv = ["mf_qwen3_patch", "status", "--contract", "--json"]
    try:
        runpy.run_module("mf_qwen3_patch", run_name="__main__")
    except SystemExit as exit:
        print("exit code", exit.code)
    """
    finished = run_script(script, cwd=tmp_path_factory.mktemp("contract"))
    lines = [line for line in finished.output.splitlines() if line.startswith("{")]
    found = json.loads(lines[-1])
    check_against_schema(found, "contract")
    return {item["symbol"]: item for item in found["contract"]}


@pytest.mark.parametrize("symbol", [symbol.path for symbol in CONTRACT])
def test_upstream_keeps_it(symbol: str, contract: dict[str, dict[str, object]]) -> None:
    item = contract[symbol]
    assert item["kept"], f"{symbol} ({item['used_for']}): expected one of {item['expected']}, found {item['found']}"


@pytest.mark.parametrize("path", _SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_it_holds_whatever_a_module_imports(path: Path) -> None:
    listed = {symbol.path for symbol in CONTRACT}
    modules = {symbol.module for symbol in CONTRACT}
    unlisted = [
        name
        for name in _imported(path)
        # A whole module counts by what is used of it.
        if name not in listed | _COMMON and name.replace(":", ".") not in modules
    ]
    assert not unlisted


def test_parameters_are_compared_by_name_order_and_default() -> None:
    def function(first, second=1, *args, third, **kwargs):  # type: ignore[no-untyped-def]
        """Nothing."""

    assert parameters_of(function) == "first, second=, *args, third, **kwargs"
