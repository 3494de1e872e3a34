"""Logits are processed as transformers' own processors do, over random settings."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from mf_qwen3_patch.loading.generation.logits import Processing, Warping

VOCABULARY = 60
CASES = range(400)


def random_settings(case: int) -> dict[str, Any]:
    """Settings as published models and fine-tunes have them, and their neighbors."""
    chance = random.Random(case)
    eos = chance.sample(range(VOCABULARY), chance.choice([0, 1, 1, 2, 3]))
    length = chance.randint(1, 12)
    return {
        "repetition_penalty": chance.choice([1.0, 1.0, 1.05, 1.1, 1.3, 2.0, 0.8]),
        "encoder_repetition_penalty": chance.choice([1.0, 1.0, 1.0, 1.2, 0.7]),
        "min_length": chance.choice([0, 0, 5, 10]),
        "min_new_tokens": chance.choice([0, 0, 2, 6]),
        "eos": eos,
        "temperature": chance.choice([1.0, 0.6, 0.7, 0.1, 1.5, 5.0]),
        "top_k": chance.choice([0, 1, 5, 20, 50, 60, 100]),
        "top_p": chance.choice([1.0, 0.95, 0.8, 0.5, 0.1, 0.0]),
        "tokens": [chance.randrange(VOCABULARY) for _ in range(length)] + eos[:1],
        "prompt_length": chance.randint(1, length),
        "scores": np.random.default_rng(case).normal(0, chance.choice([0.5, 3, 10]), VOCABULARY).astype(np.float32),
    }


def ours(settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The scores of every token, and the probabilities of a sample."""
    names = ("repetition_penalty", "encoder_repetition_penalty", "min_length", "min_new_tokens", "eos")
    processing = Processing(**{name: settings[name] for name in names})
    warping = Warping(settings["temperature"], settings["top_k"], settings["top_p"])
    tokens = np.array(settings["tokens"])
    processed = processing(settings["scores"].copy(), tokens, settings["prompt_length"])
    warped = warping(processed.copy()).astype(np.float64)
    exponentials = np.exp(warped - warped.max())
    return processed, exponentials / exponentials.sum()


def by_the_definition(settings: dict[str, Any]) -> tuple[list[float], list[float]]:
    """The same, token by token, from the definitions of the settings."""
    scores = [float(score) for score in settings["scores"]]
    tokens, prompt = settings["tokens"], settings["prompt_length"]
    for seen, penalty in (
        (tokens[:prompt], 1 / settings["encoder_repetition_penalty"]),
        (tokens, settings["repetition_penalty"]),
    ):
        for token in set(seen):
            scores[token] = scores[token] * penalty if scores[token] < 0 else scores[token] / penalty
    fewest = settings["min_new_tokens"] + prompt if settings["min_new_tokens"] else settings["min_length"]
    if len(tokens) < fewest:
        for token in settings["eos"]:
            scores[token] = -math.inf
    warped = [score / settings["temperature"] for score in scores]
    if settings["top_k"]:
        least = sorted(warped)[-min(settings["top_k"], VOCABULARY)]
        warped = [score if score >= least else -math.inf for score in warped]
    if settings["top_p"] < 1:
        total = sum(math.exp(score - max(warped)) for score in warped)
        share, kept = 0.0, []
        for token in sorted(range(VOCABULARY), key=lambda token: -warped[token]):
            if kept and share >= settings["top_p"]:
                break
            kept.append(token)
            share += math.exp(warped[token] - max(warped)) / total
        warped = [score if token in kept else -math.inf for token, score in enumerate(warped)]
    exponentials = [math.exp(score - max(warped)) for score in warped]
    return scores, [value / sum(exponentials) for value in exponentials]


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_the_definitions_say(case: int) -> None:
    settings = random_settings(case)
    processed, probabilities = ours(settings)
    expected, distribution = by_the_definition(settings)
    np.testing.assert_allclose(processed, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(probabilities, distribution, rtol=1e-4, atol=1e-6)
    assert int(np.argmax(processed)) == expected.index(max(expected))


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES)
def test_it_is_what_transformers_does(case: int) -> None:
    torch = pytest.importorskip("torch", reason="needs torch (extra `oracle`)")
    from transformers.generation import logits_process as theirs

    settings = random_settings(case)
    tokens, scores = torch.tensor([settings["tokens"]]), torch.tensor(settings["scores"][None])
    prompt = settings["prompt_length"]
    fewest = settings["min_new_tokens"] + prompt if settings["min_new_tokens"] else settings["min_length"]
    processors: list[Any] = []
    if settings["encoder_repetition_penalty"] != 1:
        processors.append(
            theirs.EncoderRepetitionPenaltyLogitsProcessor(settings["encoder_repetition_penalty"], tokens[:, :prompt])
        )
    if settings["repetition_penalty"] != 1:
        processors.append(theirs.RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if fewest and settings["eos"]:
        processors.append(theirs.MinLengthLogitsProcessor(fewest, settings["eos"]))
    warpers: list[Any] = []
    if settings["temperature"] != 1:
        warpers.append(theirs.TemperatureLogitsWarper(settings["temperature"]))
    if settings["top_k"]:
        warpers.append(theirs.TopKLogitsWarper(settings["top_k"]))
    if settings["top_p"] < 1:
        warpers.append(theirs.TopPLogitsWarper(settings["top_p"]))
    for processor in processors:
        scores = processor(tokens, scores)
    warped = scores
    for warper in warpers:
        warped = warper(tokens, warped)

    processed, probabilities = ours(settings)
    np.testing.assert_array_equal(processed, scores[0].numpy())
    np.testing.assert_allclose(probabilities, torch.softmax(warped[0].double(), -1).numpy(), rtol=1e-5, atol=1e-7)


def test_padding_is_no_text() -> None:
    """Only what is passed as tokens counts: the token that pads is not penalized for it."""
    scores = np.ones(8, np.float32)
    assert Processing(repetition_penalty=2.0)(scores, np.array([3, 3, 5]), 3).tolist() == [1, 1, 1, 0.5, 1, 0.5, 1, 1]


def test_tokens_beyond_the_vocabulary_are_passed_over() -> None:
    scores = np.ones(4, np.float32)
    processing = Processing(repetition_penalty=2.0, min_new_tokens=3, eos=[2, 151643])
    assert processing(scores, np.array([1, 151643]), 2).tolist() == [1, 0.5, -np.inf, 1]


def test_top_p_keeps_the_token_that_reaches_the_share() -> None:
    scores = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    assert np.isfinite(Warping(top_p=0.6)(scores)).tolist() == [True, True, False]
