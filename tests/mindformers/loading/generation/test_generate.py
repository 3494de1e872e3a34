"""generate() against transformers' rules, applied to the network's own logits, over random settings.

The logits are those of the prompt alone, one forward pass for each token: that they are HuggingFace's own is tested
elsewhere. The rules are stated here apart from the code under test.
"""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import write_checkpoint

from mf_qwen3_patch import CheckpointWarning
from mindformers import AutoModel

CASES = 300
VOCABULARY = 24  # small, so that tokens repeat, ends come, and pads are generated


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"vocab_size": VOCABULARY, "num_hidden_layers": 1, "max_window_layers": 1}
    return write_checkpoint(tmp_path_factory.mktemp("model"), seed=7, **sizes)


@pytest.fixture(scope="module")
def model(directory: Path) -> Any:
    return AutoModel.from_pretrained(str(directory), seq_length=32)


@pytest.fixture(scope="module")
def logits(model: Any) -> Any:
    known: dict[tuple[int, ...], np.ndarray] = {}
    plain = {"do_sample": False, "repetition_penalty": 1.0, "pad_token_id": VOCABULARY + 1, "max_new_tokens": 1}

    def of(tokens: Sequence[int]) -> np.ndarray:
        key = tuple(tokens)
        if key not in known:
            asked = {"return_dict_in_generate": True, "output_logits": True, "min_length": 0, "min_new_tokens": None}
            answer = model.generate([list(key)], eos_token_id=[], **plain, **asked)
            known[key] = np.array(answer["logits"][0][0], np.float32)
        return known[key].copy()

    return of


def random_settings(case: int) -> tuple[list[int], dict[str, Any]]:
    """A prompt, and settings for it; pads and ends are related in every way that is published."""
    chance = random.Random(case)
    ends = chance.sample(range(VOCABULARY), chance.choice([1, 1, 2, 3]))
    pad = chance.choice([ends[0], ends[-1], None, 151643, chance.randrange(VOCABULARY)])
    prompt = [chance.randrange(VOCABULARY) for _ in range(chance.randint(2, 6))]
    while prompt[-1] == pad and pad not in ends:  # transformers would mask it
        prompt[-1] = chance.randrange(VOCABULARY)
    settings: dict[str, Any] = {
        "eos_token_id": ends if len(ends) > 1 or chance.random() < 0.5 else ends[0],
        "pad_token_id": pad,
        "do_sample": False,
        "repetition_penalty": chance.choice([1.0, 1.05, 1.1, 1.3, 2.0, 0.5]),
        "temperature": chance.choice([1.0, 0.6]),
        "top_k": chance.choice([20, 50]),
        "top_p": chance.choice([0.95, 0.8, 1.0]),
        "max_new_tokens": chance.randint(1, 6),
    }
    settings |= chance.choice(
        [{}, {}, {"min_length": 8}, {"min_new_tokens": 3}, {"min_length": 9, "min_new_tokens": 1}]
    )
    if chance.random() < 0.2:
        del settings["max_new_tokens"]
        settings["max_length"] = len(prompt) + chance.randint(1, 5)
    return prompt, settings


def by_the_rules(prompt: list[int], settings: dict[str, Any], logits: Any) -> list[int]:
    ends = settings["eos_token_id"]
    ends = [ends] if isinstance(ends, int) else ends
    tokens = list(prompt)
    longest = len(prompt) + settings["max_new_tokens"] if "max_new_tokens" in settings else settings["max_length"]
    shortest = settings.get("min_length", 0)
    if settings.get("min_new_tokens"):
        shortest = len(prompt) + settings["min_new_tokens"]
    while True:
        scores = logits(tokens)
        for token in set(tokens):
            score, penalty = scores[token], np.float32(settings["repetition_penalty"])
            scores[token] = score * penalty if score < 0 else score / penalty
        if len(tokens) < shortest:
            scores[ends] = -np.inf
        tokens.append(int(np.argmax(scores)))
        if tokens[-1] in ends or len(tokens) == longest:
            return tokens


@pytest.mark.sweep
def test_the_greedy_tokens_are_those_of_the_rules(model: Any, logits: Any) -> None:
    wrong = []
    for case in range(CASES):
        prompt, settings = random_settings(case)
        found = model.generate([prompt], **settings)[0].tolist()
        expected = by_the_rules(prompt, settings, logits)
        if found != expected:
            wrong.append((case, prompt, settings, found, expected))
    assert not wrong, f"{len(wrong)} of {CASES}, the first: {wrong[0]}"


@pytest.mark.parametrize("case", range(12))
def test_the_file_says_the_same_as_the_call(case: int, directory: Path, logits: Any, tmp_path: Path) -> None:
    prompt, settings = random_settings(1000 + case)
    copy = Path(shutil.copytree(directory, tmp_path / "model"))
    (copy / "generation_config.json").write_text(json.dumps(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        model = AutoModel.from_pretrained(str(copy), seq_length=32)
    assert model.generate([prompt])[0].tolist() == by_the_rules(prompt, settings, logits)


def test_rows_of_a_batch_are_as_alone(model: Any) -> None:
    settings = {"do_sample": False, "repetition_penalty": 1.5, "eos_token_id": [9], "pad_token_id": 9}
    prompts, length = [[5, 6, 7, 8], [3, 4], [11, 12, 13]], 5
    padded = [prompt + [9] * (4 - len(prompt)) for prompt in prompts]
    together = model.generate(padded, max_new_tokens=length, **settings)
    alone = [model.generate([prompt], max_new_tokens=length, **settings)[0] for prompt in prompts]
    assert [row.tolist() for row in together] == [row.tolist() for row in alone]


@pytest.mark.sweep
def test_a_sample_is_drawn_from_what_the_settings_leave(model: Any, logits: Any) -> None:
    """top_p of 0.3 leaves the fewest tokens that reach it, the last of which stock leaves out."""
    prompt = [5, 6, 7]
    probabilities = np.exp(logits(prompt).astype(np.float64))
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities)
    left = set(order[: int(np.searchsorted(np.cumsum(probabilities[order]), 0.3)) + 1].tolist())
    settings = {"do_sample": True, "top_k": 0, "top_p": 0.3, "temperature": 1.0, "eos_token_id": [], "pad_token_id": 30}
    drawn = {int(model.generate([prompt], max_new_tokens=1, seed=seed, **settings)[0][-1]) for seed in range(150)}
    assert len(left) > 1
    assert drawn == left


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_beams": 2, "length_penalty": 0.8}, "length_penalty: 0.8, num_beams: 2"),
        ({"min_p": 0.05}, "min_p: 0.05"),
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size: 3"),
        ({"bad_words_ids": [[3]]}, r"bad_words_ids: \[\[3\]\]"),
        ({"forced_eos_token_id": 3}, "forced_eos_token_id: 3"),
        ({"stop_strings": ["x"]}, r'stop_strings: \["x"\]'),
    ],
)
def test_what_stock_can_not_do_is_one_warning(
    settings: dict[str, Any], named: str, directory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(directory, tmp_path / "model"))
    (copy / "generation_config.json").write_text(
        json.dumps(settings | {"do_sample": False, "max_new_tokens": 1, "eos_token_id": 2})
    )
    with pytest.warns(CheckpointWarning, match=f"ignored: {named}$") as caught:
        model = AutoModel.from_pretrained(str(copy), seq_length=32)
    assert len([one for one in caught if issubclass(one.category, CheckpointWarning)]) == 1
    assert len(model.generate([[3, 4]])[0]) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"min_p": 0.0, "presence_penalty": 0.0, "frequency_penalty": 0, "no_repeat_ngram_size": 0},
        {"num_beams": 1, "num_return_sequences": 1, "length_penalty": 1.0, "typical_p": 1.0, "min_p": None},
        {"length_penalty": 0.5, "early_stopping": True, "num_assistant_tokens": 20, "is_assistant": False},
    ],
)
def test_what_changes_nothing_is_not_worth_a_word(settings: dict[str, Any], directory: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(directory, tmp_path / "model"))
    (copy / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": 2}))
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        AutoModel.from_pretrained(str(copy), seq_length=32)


def test_beams_are_refused_by_name(model: Any) -> None:
    with pytest.raises(ValueError, match="num_beams=2 can't be done"):
        model.generate([[5]], num_beams=2)
