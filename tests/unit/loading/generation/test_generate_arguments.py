"""The arguments of generate: lengths, ends, beams and padding as transformers means them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mf_qwen3_patch.loading.generation.generate_arguments import generate_arguments

SETTINGS = {"num_beams": 1, "eos_token_id": [2], "pad_token_id": 2, "max_new_tokens": None, "max_length": 20}


def arguments(prompts: list[list[int]], config: dict[str, Any] | None = None, **keywords: Any) -> dict[str, Any]:
    return generate_arguments(keywords, SimpleNamespace(**SETTINGS | (config or {})), prompts, 64)


def test_nothing_is_changed_that_means_the_same() -> None:
    assert arguments([[5, 6]], max_new_tokens=4, top_k=3) == {"max_new_tokens": 4, "top_k": 3}


@pytest.mark.parametrize(("length", "expected"), [(3, 23), (30, 50), (60, 64)])
def test_twenty_new_tokens_if_nothing_is_said(length: int, expected: int) -> None:
    assert arguments([[5] * length]) == {"max_length": expected}


def test_lengths_that_are_said_stay() -> None:
    assert arguments([[5]], max_length=20) == {"max_length": 20}
    assert arguments([[5]], {"max_length": 30}) == {}


@pytest.mark.parametrize("length", [20, 25])
def test_a_length_that_the_prompt_has_already_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match=rf"max_length=20 counts the prompt, which has {length} tokens"):
        arguments([[5] * length], max_length=20)


@pytest.mark.parametrize("new", [0, -1])
def test_no_new_tokens_are_an_error(new: int) -> None:
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1"):
        arguments([[5]], max_new_tokens=new)


@pytest.mark.parametrize("where", ["keyword", "config"])
def test_beams_are_an_error(where: str) -> None:
    beams = {"num_beams": 2}
    with pytest.raises(ValueError, match="num_beams=2 can't be done"):
        arguments([[5]], **beams) if where == "keyword" else arguments([[5]], beams)


@pytest.mark.parametrize(("eos", "expected"), [(7, [7]), (None, [])])
def test_an_end_may_be_one_token_or_none(eos: int | None, expected: list[int]) -> None:
    assert arguments([[5]], max_new_tokens=1, eos_token_id=eos)["eos_token_id"] == expected


@pytest.mark.parametrize(("pad", "prompt", "expected"), [(2, [5, 2], 0), (None, [5, 0], 1), (None, [5, 1], None)])
def test_the_last_token_of_a_single_prompt_is_no_padding(
    pad: int | None, prompt: list[int], expected: int | None
) -> None:
    found = arguments([prompt], {"pad_token_id": pad}, max_new_tokens=1)
    assert found.get("pad_token_id") == expected


def test_padding_is_padding_in_a_batch_or_with_a_token_of_its_own() -> None:
    assert "pad_token_id" not in arguments([[5, 2], [5, 6]], max_new_tokens=1)
    assert "pad_token_id" not in arguments([[5, 9]], {"pad_token_id": 9}, max_new_tokens=1)
