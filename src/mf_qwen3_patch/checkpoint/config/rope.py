"""The rotary embedding's settings, which transformers has written in three dialects.

Of the scaled ones only yarn is carried over: given all of its settings, MindFormers computes the angles that
HuggingFace does. It has defaults of its own for none of them, so each must be spelled out for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mf_qwen3_patch._display import json_kind, short_json
from mf_qwen3_patch.checkpoint.config.problem import field_problem
from mf_qwen3_patch.errors import CheckpointError, ConfigMismatch, Problem, UnsupportedCheckpoint

ROPE_KEYS = frozenset({"rope_theta", "rope_scaling", "rope_parameters"})
"""The keys of a config that speak of the rotary embedding."""

_PLAIN = ("default", None)
_BETA_FAST, _BETA_SLOW = 32.0, 1.0  # what transformers takes where they are absent, null or 0
_ORIGINAL = "original_max_position_embeddings"
# The least value of each of yarn's numbers, and what it must be in words.
_YARN_NUMBERS: Mapping[str, tuple[float, str]] = {
    "factor": (1, "a number, at least 1"),
    **dict.fromkeys(("attention_factor", "beta_fast", "beta_slow"), (0, "a number, not negative")),
    **dict.fromkeys(("mscale", "mscale_all_dim"), (-math.inf, "a number")),
    _ORIGINAL: (1, "a whole number, at least 1"),
}
_KNOWN_KEYS = {"rope_type", "type", "rope_theta", "truncate", "partial_rotary_factor", *_YARN_NUMBERS}


@dataclass(frozen=True)
class Rope:
    """The rotary embedding that a config asks for, what can't be carried over rightly, and what HuggingFace ignores.

    The values are ``rope_theta`` if any dialect gives it, not yet validated, and ``rope_scaling`` if the config speaks
    of it: None for plain embeddings, or a map that is complete for MindFormers.
    """

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_rope(raw: Mapping[str, Any], source: str, max_position_embeddings: int) -> Rope:
    """Read ``rope_theta``, ``rope_scaling`` (4.x) and ``rope_parameters`` (5.x) of a config, or of overrides.

    yarn scales ``max_position_embeddings`` unless it has an original length of its own. Raises nothing.
    """
    rope = Rope()
    if "rope_theta" in raw:
        rope.values["rope_theta"] = raw["rope_theta"]
    for key in ("rope_scaling", "rope_parameters"):
        settings = raw.get(key)
        if settings is None:
            continue
        reader = _Reader(rope, source, key, max_position_embeddings)
        if not isinstance(settings, dict):
            reader.unusable("", "a map, or null", json_kind(settings))
            continue
        before = len(rope.problems)
        scaling = reader.scaling(settings)
        if len(rope.problems) == before:
            reader.agree("rope_scaling", scaling)
        if "rope_theta" in settings:
            reader.agree("rope_theta", settings["rope_theta"])
    return rope


@dataclass(frozen=True)
class _Reader:
    """Reads the settings under one key of a config into ``rope``."""

    rope: Rope
    source: str
    key: str
    max_position_embeddings: int

    def agree(self, name: str, value: Any) -> None:
        """Take a value, unless the config's other dialect has said something else."""
        values = self.rope.values
        if name in values and values[name] != value:
            both = f"{short_json(values[name])} ({name})", f"{short_json(value)} ({self.key})"
            advice = "keep the one that the model was trained with"
            self._report(ConfigMismatch, name, f"gives {name} twice, with different values", *both, advice)
        values[name] = value

    def scaling(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return None for plain embeddings, else MindFormers' map."""
        kind = settings.get("rope_type", settings.get("type"))
        if any(isinstance(value, dict) for value in settings.values()):
            kind = "one per layer type"
        partial = settings.get("partial_rotary_factor", 1)
        if partial not in (1, None):
            self.refuse(f"partial_rotary_factor {short_json(partial)}", "Qwen3 rotates every dimension of a head")
        elif kind is None and settings.get("factor") is not None:
            self.unusable("rope_type", "the rope_type that the factor is meant for", "none")
        elif kind == "yarn":
            unknown = sorted(str(name)[:80] for name in settings if name not in _KNOWN_KEYS)
            if unknown:
                self._warn(f"has keys in {self.key} that yarn does not use: {', '.join(unknown)}")
            return self._yarn(settings)
        elif kind not in _PLAIN:
            self.refuse(short_json(kind), "MindFormers can compute only the default angles and yarn's")
        return None

    def _yarn(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        numbers = {name: settings.get(name) for name in _YARN_NUMBERS}
        numbers[_ORIGINAL] = whole_number(numbers[_ORIGINAL])
        for name, value in numbers.items():
            least, wanted = _YARN_NUMBERS[name]
            if value is not None and not _is_number(value, least, whole=name == _ORIGINAL):
                self.unusable(name, wanted, short_json(value))
        if self.rope.problems:
            return None
        if not settings.get("truncate", True):
            self.refuse("yarn with truncate false", "MindFormers always rounds the bounds of yarn's ramp")
            return None
        length, original, factor = self.max_position_embeddings, numbers[_ORIGINAL], numbers["factor"]
        if original is None and factor is None:
            self.unusable("factor", _YARN_NUMBERS["factor"][1], "none")
            return None
        ratio = length / (original or length)
        if factor is None:
            factor = ratio
        elif original is not None and not math.isclose(factor, ratio):
            self._warn(
                f"asks for yarn with factor {factor}, but max_position_embeddings {length} is {ratio:g} times "
                f"{_ORIGINAL} {original}: transformers 4 uses {ratio:g}, transformers 5 uses {factor}, and so does "
                f"this; with max_position_embeddings {round(factor * original)} all agree"
            )
        return {
            "rope_type": "yarn",
            "factor": float(factor),
            _ORIGINAL: original or length,
            "beta_fast": float(numbers["beta_fast"] or _BETA_FAST),
            "beta_slow": float(numbers["beta_slow"] or _BETA_SLOW),
            **self._magnitude(factor, numbers),
        }

    def _magnitude(self, factor: float, numbers: Mapping[str, Any]) -> dict[str, float]:
        """Return the ``mscale`` and ``mscale_all_dim`` that make MindFormers multiply by what HuggingFace would.

        With ``s(m) = 1 + 0.1 m ln(factor)``, both multiply sine and cosine by ``s(mscale) / s(mscale_all_dim)`` if they
        are given both, and by ``s(1)`` if not. MindFormers does not know HuggingFace's ``attention_factor``, which
        replaces all of that; but some ``mscale`` has the same effect.
        """
        wanted, growth = numbers["attention_factor"], 0.1 * math.log(factor)
        mscale, all_dim = 1.0, 0.0
        if wanted is None:
            if numbers["mscale"] and numbers["mscale_all_dim"]:
                mscale, all_dim = float(numbers["mscale"]), float(numbers["mscale_all_dim"])
        elif growth:
            # An mscale of 0 counts as not given in some releases: then the next will do.
            solutions = ((((1 + other * growth) * wanted - 1) / growth, other) for other in (1.0, 2.0))
            mscale, all_dim = next(pair for pair in solutions if pair[0])
        elif wanted != 1:
            self.refuse(f"yarn, factor {factor}, attention_factor {wanted}", "MindFormers would leave it out")
        return {"mscale": mscale, "mscale_all_dim": all_dim}

    def unusable(self, setting: str, wanted: str, found: str) -> None:
        """Report a setting whose value is unusable; without a name, all of them."""
        summary = f"has an unusable value for {f'{self.key}.{setting}' if setting else self.key}"
        advice = f"set {self.key} to what the model's original config.json has; null means plain rotary embeddings"
        self._report(ConfigMismatch, self.key, summary, wanted, found, advice)

    def refuse(self, found: str, reason: str) -> None:
        """Report settings that MindFormers can't compute."""
        summary = f"asks for a scaled rotary embedding ({found}), which can't be loaded rightly: {reason}"
        advice = (
            f"remove {self.key} if it was only added for longer prompts than a plain Qwen3 was trained with, "
            "else run this one with HuggingFace transformers"
        )
        self._report(UnsupportedCheckpoint, self.key, summary, "rope_type default or yarn", found, advice)

    def _report(self, kind: type[CheckpointError], *details: str) -> None:
        self.rope.problems.append(field_problem(kind, self.source, *details))

    def _warn(self, text: str) -> None:
        self.rope.warnings.append(f"{self.source} {text}")


def whole_number(length: Any) -> Any:
    """Return a length that is written as 128.0 as 128, which it is to transformers, anything else as it is."""
    return int(length) if isinstance(length, float) and length.is_integer() else length


def _is_number(value: Any, least: float, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return False
    try:
        return math.isfinite(value) and value >= least
    except OverflowError:  # an int that is no float
        return False
