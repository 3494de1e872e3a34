"""Directories that transformers 5 has saved, and those that 4 and 5 read differently: the tokens of the one that is meant."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.readings import (
    DISPUTED,
    JUDGES,
    MAX_NEW_TOKENS,
    Source,
    disputed_sources,
    make_disputed,
    prompts_of,
    readings,
    saved_sources,
)

from mf_qwen3_patch import CheckpointWarning
from mindformers import AutoModel

# One of each kind; the others are the same kinds in other models.
KINDS = {"saved_by_5/gqa2", "saved_by_5/moe__grouped", "disputed/yarn in rope_parameters"}
SOURCES = [
    pytest.param(source, id=source.name, marks=() if source.name in KINDS else pytest.mark.sweep)
    for source in (*saved_sources(), *disputed_sources())
    if DISPUTED.get(source.name.partition("/")[2], DISPUTED["layer_types"]).meant
]
CHOICES = [
    pytest.param(name, judge, case.keywords[judge], id=f"{name}: {case.keywords[judge]}", marks=pytest.mark.sweep)
    for name, case in DISPUTED.items()
    for judge in JUDGES
    if judge in case.keywords
]


def tokens(directory: Path, base: str, options: Mapping[str, Any]) -> list[int]:
    """Return how the longest prompt goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        model = AutoModel.from_pretrained(str(directory), **options)
    prompt = prompts_of(base)[-1]
    found: list[int] = model.generate([prompt], max_new_tokens=MAX_NEW_TOKENS, do_sample=False)[0].tolist()
    return found[len(prompt) :]


@pytest.mark.parametrize("source", SOURCES)
def test_the_tokens_are_those_of_the_reading_that_is_meant(source: Source, tmp_path: Path) -> None:
    expected = readings(5)[source.name]["tokens"][-1]
    assert tokens(source.directory(tmp_path), source.base, source.options) == expected


@pytest.mark.parametrize(("name", "judge", "keywords"), CHOICES)
def test_a_keyword_chooses_a_reading(name: str, judge: int, keywords: Mapping[str, Any], tmp_path: Path) -> None:
    expected = readings(judge)[f"disputed/{name}"]["tokens"][-1]
    assert tokens(make_disputed(name, tmp_path), DISPUTED[name].base, keywords) == expected
