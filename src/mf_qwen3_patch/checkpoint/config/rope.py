"""The rotary embedding's settings, which transformers has written in three dialects.

Of the scaled ones only yarn is carried over: given all of its settings, MindFormers computes the angles that
HuggingFace does. It has defaults of its own for none of them, so each must be spelled out for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint

ROPE_KEYS = frozenset({"rope_theta", "rope_scaling", "rope_parameters"})
"""The keys of a config that speak of the rotary embedding."""

_PLAIN = ("default", None)
_BETA_FAST, _BETA_SLOW = 32.0, 1.0  # what transformers takes where they are absent, null or 0
_ORIGINAL = "original_max_position_embeddings"
_YARN_NUMBERS = ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim")
_LEAST = {
    "factor": (1, "a number, at least 1"),
    **dict.fromkeys(("attention_factor", "beta_fast", "beta_slow"), (0, "a number, not negative")),
}
_KNOWN_KEYS = frozenset(
    {"rope_type", "type", "rope_theta", "factor", _ORIGINAL, "truncate", "partial_rotary_factor", *_YARN_NUMBERS}
)


@dataclass(frozen=True)
class Rope:
    """The rotary embedding that a config asks for.

    Attributes:
        values: ``rope_theta`` if any dialect gives it, not yet validated; ``rope_scaling`` if the config speaks of
            it: None for plain embeddings, or a map that is complete for MindFormers.
        problems: What can't be carried over rightly.
        warnings: What HuggingFace ignores, or reads differently from release to release.
    """

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_rope(raw: Mapping[str, Any], source: str, max_position_embeddings: int) -> Rope:
    """Read ``rope_theta``, ``rope_scaling`` (4.x) and ``rope_parameters`` (5.x).

    Args:
        raw: The config, or the part of one that overrides it.
        source: What the config is called in messages.
        max_position_embeddings: The config's; yarn scales it unless it has an original length of its own.

    Returns:
        The values, the problems and the warnings; raises nothing.
    """
    rope = Rope()
    if "rope_theta" in raw:
        rope.values["rope_theta"] = raw["rope_theta"]
    for key in ("rope_scaling", "rope_parameters"):
        settings = raw.get(key)
        if settings is None:
            continue
        if not isinstance(settings, dict):
            rope.problems.append(_unusable(source, key, key, "a map, or null", type(settings).__name__))
            continue
        place = _Place(source, key, max_position_embeddings)
        before = len(rope.problems)
        scaling = _read_scaling(settings, place, rope)
        if len(rope.problems) == before:
            _agree(rope, "rope_scaling", scaling, place)
        if "rope_theta" in settings:
            _agree(rope, "rope_theta", settings["rope_theta"], place)
    return rope


@dataclass(frozen=True)
class _Place:
    """The place of settings, and what they scale."""

    source: str
    key: str
    max_position_embeddings: int


def _agree(rope: Rope, name: str, value: Any, place: _Place) -> None:
    """Take a value, unless the config's other dialect has said something else."""
    if name in rope.values and rope.values[name] != value:
        rope.problems.append(
            Problem(
                ConfigMismatch,
                f"{place.source} gives {name} twice, with different values",
                file=place.source,
                field=name,
                expected=f"{rope.values[name]!r} ({name})",
                found=f"{value!r} ({place.key})",
                advice="keep the one that the model was trained with",
            )
        )
    rope.values[name] = value


def _read_scaling(settings: Mapping[str, Any], place: _Place, rope: Rope) -> dict[str, Any] | None:
    """Return None for plain embeddings, else MindFormers' map; what is wrong with them goes into ``rope``."""
    kind = settings.get("rope_type", settings.get("type"))
    if any(isinstance(value, dict) for value in settings.values()):
        kind = "one per layer type"
    partial = settings.get("partial_rotary_factor", 1)
    if partial not in (1, None):
        _refuse(rope, place, f"partial_rotary_factor {partial!r:.60}", "Qwen3 rotates every dimension of a head")
    elif kind is None and settings.get("factor") is not None:
        wanted = "the rope_type that the factor is meant for"
        rope.problems.append(_unusable(place.source, place.key, f"{place.key}.rope_type", wanted, "none"))
    elif kind == "yarn":
        unknown = sorted(str(name)[:80] for name in settings if name not in _KNOWN_KEYS)
        if unknown:
            rope.warnings.append(f"{place.source} has keys in {place.key} that yarn does not use: {', '.join(unknown)}")
        return _read_yarn(settings, place, rope)
    elif kind not in _PLAIN:
        _refuse(rope, place, f"{kind!r:.80}", "MindFormers can compute only the default angles and yarn's")
    return None


def _read_yarn(settings: Mapping[str, Any], place: _Place, rope: Rope) -> dict[str, Any] | None:
    numbers = {name: settings.get(name) for name in ("factor", *_YARN_NUMBERS)}
    for name, value in numbers.items():
        least, wanted = _LEAST.get(name, (-math.inf, "a number"))
        if value is not None and not _is_number(value, least):
            rope.problems.append(_unusable(place.source, place.key, f"{place.key}.{name}", wanted, repr(value)[:80]))
    original = settings.get(_ORIGINAL)
    if original is not None and (isinstance(original, bool) or not isinstance(original, int) or original < 1):
        wanted = "a whole number, at least 1"
        rope.problems.append(
            _unusable(place.source, place.key, f"{place.key}.{_ORIGINAL}", wanted, repr(original)[:80])
        )
    if rope.problems:
        return None
    if not settings.get("truncate", True):
        _refuse(rope, place, "yarn with truncate false", "MindFormers always rounds the bounds of yarn's ramp")
        return None
    length = original or place.max_position_embeddings
    ratio = place.max_position_embeddings / length
    factor = numbers["factor"]
    if factor is None:
        if original is None:
            rope.problems.append(_unusable(place.source, place.key, f"{place.key}.factor", _LEAST["factor"][1], "none"))
            return None
        factor = ratio
    elif original is not None and not math.isclose(factor, ratio):
        rope.warnings.append(
            f"{place.source} asks for yarn with factor {factor}, but max_position_embeddings "
            f"{place.max_position_embeddings} is {ratio:g} times {_ORIGINAL} {original}: transformers 4 uses "
            f"{ratio:g}, transformers 5 uses {factor}, and so does this; with max_position_embeddings "
            f"{round(factor * original)} all agree"
        )
    magnitude = _magnitude(factor, numbers, place, rope)
    return {
        "rope_type": "yarn",
        "factor": float(factor),
        _ORIGINAL: length,
        "beta_fast": float(numbers["beta_fast"] or _BETA_FAST),
        "beta_slow": float(numbers["beta_slow"] or _BETA_SLOW),
        **magnitude,
    }


def _magnitude(factor: float, numbers: Mapping[str, Any], place: _Place, rope: Rope) -> dict[str, float]:
    """Return the ``mscale`` and ``mscale_all_dim`` that make MindFormers multiply by what HuggingFace would.

    With ``s(m) = 1 + 0.1 m ln(factor)``, both multiply sine and cosine by ``s(mscale) / s(mscale_all_dim)`` if they
    are given both, and by ``s(1)`` if not. MindFormers does not know HuggingFace's ``attention_factor``, which
    replaces all of that; but some ``mscale`` has the same effect.
    """
    wanted, growth = numbers["attention_factor"], 0.1 * math.log(factor)
    if wanted is None:
        given = numbers["mscale"], numbers["mscale_all_dim"]
        mscale, all_dim = (float(given[0]), float(given[1])) if all(given) else (1.0, 0.0)
        return {"mscale": mscale, "mscale_all_dim": all_dim}
    if growth == 0:
        if wanted != 1:
            _refuse(rope, place, f"yarn, factor {factor}, attention_factor {wanted}", "MindFormers would leave it out")
        return {"mscale": 1.0, "mscale_all_dim": 0.0}
    # An mscale of 0 counts as not given in some releases: then the next will do.
    solutions = ((((1 + all_dim * growth) * wanted - 1) / growth, all_dim) for all_dim in (1.0, 2.0))
    mscale, all_dim = next(pair for pair in solutions if pair[0])
    return {"mscale": mscale, "mscale_all_dim": all_dim}


def _is_number(value: Any, least: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value) and value >= least
    except OverflowError:  # an int that is no float
        return False


def _unusable(source: str, key: str, name: str, wanted: str, found: str) -> Problem:
    return Problem(
        ConfigMismatch,
        f"{source} has an unusable value for {name}",
        file=source,
        field=key,
        expected=wanted,
        found=found,
        advice=f"set {key} to what the model's original config.json has; null means plain rotary embeddings",
    )


def _refuse(rope: Rope, place: _Place, found: str, reason: str) -> None:
    rope.problems.append(
        Problem(
            UnsupportedCheckpoint,
            f"{place.source} asks for a scaled rotary embedding ({found}), which can't be loaded rightly: {reason}",
            file=place.source,
            field=place.key,
            expected="rope_type default or yarn",
            found=found,
            advice=f"remove {place.key} if it was only added for longer prompts than a plain Qwen3 was trained with, "
            "else run this one with HuggingFace transformers",
        )
    )
