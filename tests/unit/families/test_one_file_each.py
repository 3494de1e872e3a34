"""A family is one file: no other module names its tensors or its parameters."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mf_qwen3_patch
from mf_qwen3_patch.families.registry import FAMILIES

ROOT = Path(mf_qwen3_patch.__file__).parent
FAMILY_FILES = {ROOT / "families" / f"{name}.py" for name in FAMILIES}
OTHERS = sorted(set(ROOT.rglob("*.py")) - FAMILY_FILES)

# What only a family can know: path elements of HuggingFace's tensors, and of MindFormers' fused parameters.
ELEMENTS = {
    element
    for family in FAMILIES.values()
    for name in (*family.outer_tensors, *family.layer_tensors)
    for element in name.split(".")
    if "_" in element
} | {element for family in FAMILIES.values() for fused in family.fused for element in (fused.target, *fused.parts)}


def strings(path: Path) -> list[str]:
    """Return the string constants of a module without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    # Prose has spaces: a message may speak of what a name is not made from.
    texts = (value for value in constants if isinstance(value, str) and value not in documented)
    return [text for text in texts if " " not in text]


def test_there_is_a_file_for_each_family() -> None:
    assert all(path.is_file() for path in FAMILY_FILES)
    assert len(ELEMENTS) > 10
    assert {"q_proj", "gate_proj", "linear_qkv", "weight1"} <= ELEMENTS


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_names_its_tensors(path: Path) -> None:
    found = {
        element
        for text in strings(path)
        for element in ELEMENTS
        if re.search(rf"(?<![\w]){re.escape(element)}(?![\w])", text)
    }
    # "hidden" is a word of English, and the two targets are fields of Layouts, which the command line sets.
    allowed = {"hidden"} | ({"linear_qkv", "linear_fc1"} if path.name in ("detect_layout.py", "export.py") else set())
    assert found <= allowed
