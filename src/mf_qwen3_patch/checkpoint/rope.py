"""The rotary embedding's settings, which transformers has written in three dialects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint

__all__ = ["read_rope"]

_PLAIN = ("default", None)


def read_rope(raw: Mapping[str, Any], source: str) -> tuple[dict[str, Any], list[Problem]]:
    """Read ``rope_theta``, ``rope_scaling`` (4.x) and ``rope_parameters`` (5.x).

    Args:
        raw: The config, or the part of one that overrides it.
        source: What the config is called in messages.

    Returns:
        ``rope_theta`` if any dialect gives it, not yet validated, and the problems.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    if "rope_theta" in raw:
        values["rope_theta"] = raw["rope_theta"]
    for key in ("rope_scaling", "rope_parameters"):
        settings = raw.get(key)
        if settings is None:
            continue
        if not isinstance(settings, dict):
            problems.append(
                Problem(
                    ConfigMismatch,
                    f"{source} has a {key} that is not a map",
                    file=source,
                    field=key,
                    expected="a map, or null",
                    found=type(settings).__name__,
                    advice=f"set {key} to null for plain rotary embeddings",
                )
            )
            continue
        problems += _refuse_scaling(key, settings, source)
        if "rope_theta" not in settings:
            continue
        theta = settings["rope_theta"]
        if "rope_theta" in values and values["rope_theta"] != theta:
            problems.append(
                Problem(
                    ConfigMismatch,
                    f"{source} gives rope_theta twice, with different values",
                    file=source,
                    field="rope_theta",
                    expected=f"{values['rope_theta']!r} (rope_theta)",
                    found=f"{theta!r} ({key})",
                    advice="keep the one that the model was trained with",
                )
            )
        values["rope_theta"] = theta
    return values, problems


def _refuse_scaling(key: str, settings: Mapping[str, Any], source: str) -> list[Problem]:
    kind = settings.get("rope_type", settings.get("type"))
    if any(isinstance(value, dict) for value in settings.values()):
        kind = "one per layer type"
    partial = settings.get("partial_rotary_factor", 1)
    if kind in _PLAIN and partial in (1, None):
        return []
    if kind in _PLAIN:
        found, reason = f"partial_rotary_factor {partial}", "Qwen3 rotates every dimension of a head"
    elif kind == "yarn":
        found = f"yarn, factor {settings.get('factor')}"
        reason = "MindFormers needs beta_fast and beta_slow with it and computes other angles than HuggingFace"
    else:
        found, reason = (
            repr(kind)[:80],
            "MindFormers has not been shown to compute what HuggingFace does with it",
        )
    return [
        Problem(
            UnsupportedCheckpoint,
            f"{source} asks for a scaled rotary embedding ({found}), which can't be loaded rightly: {reason}",
            file=source,
            field=key,
            expected="rope_type default",
            found=found,
            advice=f"remove {key} if the prompts stay within the trained length (32768 tokens for Qwen3)",
        )
    ]
