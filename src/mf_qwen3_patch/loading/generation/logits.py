"""Processing of logits as transformers does it: penalties and lengths, then temperature, top-k and top-p.

One row of float32 logits at a time, with the tokens so far: those of the prompt and those that were generated, without
the padding that follows them in MindFormers' arrays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Row: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Processing:
    """The settings that change logits before a token is chosen greedily, or sampled."""

    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    min_length: int = 0  # of prompt and answer together
    min_new_tokens: int = 0
    eos: Collection[int] = ()

    def __call__(self, scores: Row, tokens: Row, prompt_length: int) -> Row:
        """Process a row; changes ``scores``, and returns them."""
        if self.encoder_repetition_penalty != 1.0:
            _penalize(scores, tokens[:prompt_length], 1 / self.encoder_repetition_penalty)
        if self.repetition_penalty != 1.0:
            _penalize(scores, tokens, self.repetition_penalty)
        # transformers: min_new_tokens goes over min_length.
        shortest = prompt_length + self.min_new_tokens if self.min_new_tokens else self.min_length
        if len(tokens) < shortest:
            scores[[token for token in self.eos if 0 <= token < len(scores)]] = -np.inf
        return scores


@dataclass(frozen=True)
class Warping:
    """The settings that change the distribution from which a token is sampled."""

    temperature: float = 1.0
    top_k: int = 0  # none is left out
    top_p: float = 1.0

    def __call__(self, scores: Row) -> Row:
        """Process a row; may change ``scores``."""
        if self.temperature != 1.0:
            scores = scores / np.float32(self.temperature)
        if 0 < self.top_k < len(scores):
            scores[scores < np.partition(scores, -self.top_k)[-self.top_k]] = -np.inf
        if self.top_p < 1.0:
            _keep_most_probable(scores, self.top_p)
        return scores


def _penalize(scores: Row, tokens: Row, penalty: float) -> None:
    seen = np.unique(tokens)
    seen = seen[(seen >= 0) & (seen < len(scores))]
    found = scores[seen]
    scores[seen] = np.where(found < 0, found * np.float32(penalty), found / np.float32(penalty))


def _keep_most_probable(scores: Row, share: float) -> None:
    """Leave the smallest set of tokens whose probabilities add up to ``share``, the one that reaches it included."""
    candidates = np.flatnonzero(scores > -np.inf)
    order = candidates[np.argsort(scores[candidates], kind="stable")]
    shifted = np.exp(scores[order] - scores[order[-1]])
    below = np.cumsum(shifted / shifted.sum()) <= 1 - share
    below[-1] = False
    scores[order[below]] = -np.inf
