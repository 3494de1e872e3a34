"""generation_config.json becomes the model's generation config; judged by transformers' own GenerationConfig."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from mindformers.generation import GenerationConfig
from tests.support.checkpoints import write_checkpoint

from mf_qwen3_patch import CheckpointWarning
from mindformers import AutoModel

# As Qwen/Qwen3-14B publishes it, in the vocabulary of the tiny model.
QWEN3 = {
    "bos_token_id": 143,
    "do_sample": True,
    "eos_token_id": [145, 143],
    "pad_token_id": 143,
    "temperature": 0.6,
    "top_k": 20,
    "top_p": 0.95,
    "transformers_version": "4.51.0",
}


def _as_list(ids: Any) -> list[int]:
    return ids if isinstance(ids, list) else [ids]


def _write(directory: Path, settings: Any) -> Path:
    write_checkpoint(directory)
    (directory / "generation_config.json").write_text(
        settings if isinstance(settings, str) else json.dumps(settings), encoding="utf-8"
    )
    return directory


@pytest.mark.parametrize(
    "settings",
    [
        QWEN3,
        {"eos_token_id": 7},
        {"max_new_tokens": 5, "repetition_penalty": 1.05, "do_sample": False},
        {"max_length": 9, "min_new_tokens": 2, "temperature": None},
    ],
    ids=["Qwen3", "one eos", "greedy", "lengths"],
)
def test_it_says_what_it_says_to_transformers(settings: dict[str, Any], tmp_path: Path) -> None:
    from transformers import GenerationConfig as HuggingFaceConfig

    path = _write(tmp_path / "hf", settings)
    theirs = HuggingFaceConfig.from_pretrained(path)
    ours = AutoModel.from_pretrained(path).generation_config

    for name in settings.keys() - {"transformers_version", "eos_token_id", "temperature"}:
        assert getattr(ours, name) == getattr(theirs, name) == settings[name], name
    eos = theirs.eos_token_id
    assert ours.eos_token_id == (_as_list(eos) if eos is not None else [])
    assert ours.temperature == (theirs.temperature or 1.0)


@pytest.mark.parametrize(
    ("settings", "ends", "said"),
    [
        ({"do_sample": False}, [], "as with transformers, nothing but the length ends an answer; config.json has 2"),
        ({"eos_token_id": None, "top_k": 5}, [], "nothing but the length ends an answer"),
        ({"_from_model_config": True}, [2], "transformers 4 then goes by config.json, and so does this"),
        ({"eos_token_id": 7}, [7], None),
        ({"eos_token_id": [7, 2]}, [7, 2], None),
    ],
)
def test_an_end_that_only_the_config_names(
    settings: dict[str, Any], ends: list[int], said: str | None, tmp_path: Path
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = AutoModel.from_pretrained(_write(tmp_path / "hf", settings))
    told = [str(warning.message) for warning in caught if warning.category is CheckpointWarning]

    assert model.generation_config.eos_token_id == ends
    assert len(told) == (said is not None)
    assert said is None or said in told[0]
    assert len(model.generate([[5, 6, 8]], max_new_tokens=3, do_sample=False)[0]) == 6


def test_without_the_file_it_is_what_the_config_says(tmp_path: Path) -> None:
    config = AutoModel.from_pretrained(write_checkpoint(tmp_path / "hf")).generation_config

    assert (config.do_sample, config.eos_token_id) == (False, [2])


def test_generate_goes_by_it(tmp_path: Path) -> None:
    """It stops at any of the listed tokens, and it is greedy or not as the file says."""
    greedy = AutoModel.from_pretrained(_write(tmp_path / "a", {"do_sample": False, "max_new_tokens": 6}))
    tokens = greedy.generate([[5, 6, 7]])[0].tolist()
    assert len(tokens) == 9

    stopping = AutoModel.from_pretrained(
        _write(tmp_path / "b", {"do_sample": False, "max_new_tokens": 6, "eos_token_id": [1, tokens[4]]})
    )
    stopped = stopping.generate([[5, 6, 7]])[0].tolist()
    assert stopped[: 3 + tokens[3:].index(tokens[4]) + 1] == stopped
    assert stopped[-1] == tokens[4]

    sampling = AutoModel.from_pretrained(
        _write(tmp_path / "c", {"do_sample": True, "top_k": 100, "temperature": 5.0, "max_new_tokens": 6})
    )
    assert len({tuple(sampling.generate([[5, 6, 7]])[0].tolist()) for _ in range(6)}) > 1


def test_a_setting_that_mindformers_does_not_have_is_warned_of(tmp_path: Path) -> None:
    path = _write(tmp_path / "hf", QWEN3 | {"min_p": 0.1, "no_repeat_ngram_size": 3, "length_penalty": 1.0})
    with pytest.warns(CheckpointWarning, match="generate\\(\\) does not have, ignored: min_p: 0.1, no_repeat_ngram"):
        model = AutoModel.from_pretrained(path)

    assert any("min_p" in text for text in model.mf_qwen3_report.warnings)


@pytest.mark.parametrize("text", ["{", "[]", '{"top_k": 1, "top_k": 2}'])
def test_a_damaged_file_is_warned_of_and_not_used(text: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "hf", text)
    with pytest.warns(CheckpointWarning, match=r"generation_config\.json is not used"):
        model = AutoModel.from_pretrained(path)

    assert model.generation_config.eos_token_id == [2]


def test_one_that_is_given_goes_before_the_file(tmp_path: Path) -> None:
    given = GenerationConfig(max_new_tokens=3)
    model = AutoModel.from_pretrained(_write(tmp_path / "hf", QWEN3), generation_config=given)

    assert model.generation_config is given
