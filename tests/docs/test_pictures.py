"""The committed pictures are what their script draws, and show what MindFormers' conversion does."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from xml.etree import ElementTree

import pytest
from tests.support.documents import documents
from tests.support.processes import ROOT

PICTURES = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", PICTURES / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_picture_is_what_the_script_draws(draw: ModuleType) -> None:
    drawn = {name: function() for name, function in draw.PICTURES.items()}

    assert drawn == {path.name: path.read_text(encoding="utf-8") for path in PICTURES.glob("*.svg")}
    for text in drawn.values():
        assert ElementTree.fromstring(text).tag.endswith("svg")


def test_each_picture_is_shown(draw: ModuleType) -> None:
    texts = [path.read_text(encoding="utf-8") for path in documents()]

    assert all(any(f"pictures/{name})" in text for text in texts) for name in draw.PICTURES)


def test_every_text_of_a_chinese_picture_is_used(draw: ModuleType) -> None:
    drawn = draw.draw_load() + draw.draw_layouts()

    assert [text for text in draw.CHINESE if f">{draw.escape(text)}</" not in drawn] == []
    names = "".join(ElementTree.fromstring(draw.PICTURES["load-zh.svg"]()).itertext())
    assert "verify" not in names
    assert "验证" in names
