"""MindFormers' lists of logits processors, with transformers' processing in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindformers.generation import LogitsProcessorList

from mf_qwen3_patch.loading.generation.logits import Processing, Warping


def processing_of(config: Any) -> Processing:
    """Return what a generation config says of every token."""
    return Processing(
        repetition_penalty=_or(config.repetition_penalty, 1.0),
        encoder_repetition_penalty=_or(getattr(config, "encoder_repetition_penalty", None), 1.0),
        min_length=_or(config.min_length, 0),
        min_new_tokens=_or(config.min_new_tokens, 0),
        eos=tuple(_or(config.eos_token_id, ())),
    )


def warping_of(config: Any) -> Warping:
    """Return what a generation config says of tokens that are sampled."""
    if config.temperature is not None and config.temperature <= 0:
        raise ValueError(f"temperature must be above 0, not {config.temperature}; do_sample=False takes the likeliest")
    return Warping(_or(config.temperature, 1.0), _or(config.top_k, 0), _or(config.top_p, 1.0))


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _rows(input_ids: Any, scores: Any) -> range:
    # An eager model that does not prefill, as stock's from its second prompt on, has scores of more rows than prompts.
    return range(min(len(input_ids), len(scores)))


class RowProcessors(LogitsProcessorList):  # type: ignore[misc]  # it has no type information
    """Processes each row that is not finished, then lets the call's own processors have theirs."""

    def __init__(self, processing: Processing, custom: Any = None) -> None:
        super().__init__()
        self.append(processing)  # an empty list would be passed over
        self.custom = custom
        self.lengths: Any = None  # of the rows, without padding; set before each call
        self._prompts: Any = None

    def __call__(self, input_ids: Any, scores: Any, is_finished: Any = None, **_: Any) -> Any:
        """Return the scores, in float32."""
        if self._prompts is None:
            self._prompts = self.lengths
        scores = np.array(scores, np.float32)
        for row in _rows(input_ids, scores):
            if not (is_finished and is_finished[row]):
                tokens = np.asarray(input_ids[row])[: self.lengths[row]]
                scores[row] = self[0](scores[row], tokens, int(self._prompts[row]))
        return self.custom(input_ids, scores, is_finished) if self.custom else scores


class RowWarpers(LogitsProcessorList):  # type: ignore[misc]  # it has no type information
    """Processes each row that is not finished."""

    def __init__(self, warping: Warping) -> None:
        super().__init__()
        self.append(warping)

    def __call__(self, input_ids: Any, scores: Any, is_finished: Any = None, **_: Any) -> Any:
        """Return the scores, in float32."""
        scores = np.array(scores, np.float32)
        for row in _rows(input_ids, scores):
            if not (is_finished and is_finished[row]):
                scores[row] = self[0](scores[row])
        return scores
