"""The ways in which a scaled rotary embedding is got wrong, done to a transformers model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

__all__ = ["wrong_angles"]


def wrong_angles(config: Any) -> dict[str, Callable[[Any], None]]:
    """Return what each wrong reading of yarn does to a transformers model, in place.

    Args:
        config: The model's.
    """

    def forgotten(model: Any) -> None:
        _angles(model, config, rope_scaling=None)

    def no_magnitude(model: Any) -> None:
        model.model.rotary_emb.attention_scaling = 1.0

    def the_trained_length_scaled(model: Any) -> None:
        length = config.max_position_embeddings
        _angles(
            model,
            config,
            max_position_embeddings=length * length // config.rope_scaling["original_max_position_embeddings"],
            rope_scaling=config.rope_scaling | {"original_max_position_embeddings": length},
        )

    def another_factor(model: Any) -> None:
        _angles(model, config, max_position_embeddings=2 * config.max_position_embeddings)

    return {
        "yarn forgotten": forgotten,
        "yarn without its magnitude": no_magnitude,
        "yarn of max_position_embeddings": the_trained_length_scaled,
        "yarn with another factor": another_factor,
    }


def _angles(model: Any, config: Any, **changes: Any) -> None:
    wrong = copy.deepcopy(config)
    for name, value in changes.items():
        setattr(wrong, name, value)
    model.model.rotary_emb = type(model.model.rotary_emb)(wrong)
