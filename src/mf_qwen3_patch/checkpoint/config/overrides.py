"""Config fields that a keyword argument or a MindFormers YAML gives over config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mf_qwen3_patch._display import short_json
from mf_qwen3_patch.checkpoint.config.normalize import NormalizedConfig, read_fields
from mf_qwen3_patch.checkpoint.config.problem import field_problem
from mf_qwen3_patch.errors import ConfigMismatch, Problem
from mf_qwen3_patch.families.config_schema import ALIASES

KEYWORD_ARGUMENT = "keyword argument"
"""The name of a call's overrides in messages."""

_JUDGED_ALWAYS = frozenset({"rope_scaling", "rope_parameters", "layer_types", "torch_dtype"})


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a field's value."""

    source: str  # config.json, a YAML's name, or "keyword argument"
    key: str  # the field's name there; an alias such as num_layers in a YAML
    overrides: Any = None  # the value that config.json has, if another source overrides it


@dataclass(frozen=True)
class Overridden:
    """A config with the overrides applied, and where each overridden field came from."""

    config: NormalizedConfig
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def origin(self, name: str) -> Origin:
        """Return who gave the field ``name`` its value."""
        return self.origins.get(name, Origin("config.json", name))

    def statement(self, name: str) -> str:
        """Return what the origin says of the field, as the rest of a sentence that begins with its name."""
        value = self.config.values[name]
        if name in self.config.absent:
            return f"has no {name}, which defaults to {short_json(value)}"
        return f"says {self.origin(name).key}: {short_json(value)}"


def apply_overrides(config: NormalizedConfig, overrides: Mapping[str, Any], source: str) -> Overridden:
    """Apply ``overrides``, whose keys may be HuggingFace's names or MindFormers' aliases; None counts as not given.

    Keys that only MindFormers has (``compute_dtype`` and so on) are passed through; MindFormers judges them itself.
    ``source`` is what the overrides are called in messages.
    """
    if not overrides:
        return Overridden(config)
    schema = config.family.schema
    judged_keys = schema.fields.keys() | schema.neutral.keys() | _JUDGED_ALWAYS
    given: dict[str, Any] = {}
    keys: dict[str, str] = {}
    problems: list[Problem] = []
    for key, value in overrides.items():
        name = ALIASES.get(key, key)
        if value is None:
            continue
        if name in given and given[name] != value:
            summary = f"gives {name} twice, as {keys[name]} and as {key}, with different values"
            both = f"{keys[name]}: {short_json(given[name])}", f"{key}: {short_json(value)}"
            advice = f"keep one of the two (or neither: config.json beside the weights has {name})"
            problems.append(field_problem(ConfigMismatch, source, name, summary, *both, advice))
        else:
            given[name], keys[name] = value, key
    judged = {name: value for name, value in given.items() if name in judged_keys}
    values, found, warnings = read_fields(judged, source, schema, config.values)
    problems += found
    invalid = schema.fields.keys() & {problem.field for problem in found}
    warnings += [
        f"{source} sets {keys.get(name, name)} to {short_json(values[name])} over config.json's "
        f"{short_json(config.values[name])}; "
        "the weights can't say which is right"
        for name in schema.unverifiable
        if name in values and values[name] != config.values[name]
    ]
    passed = {name: value for name, value in given.items() if name not in judged_keys}
    settled = values.keys() & schema.fields.keys()
    # Where both say the same, config.json is the one to blame for a mismatch with the weights.
    origins = {
        name: Origin(source, keys.get(name, name), config.values[name])
        for name in settled
        if values[name] != config.values[name] or name in config.invalid
    }
    replaced = origins.keys() | invalid
    mended = judged.keys() - {problem.field for problem in found}
    return Overridden(
        NormalizedConfig(
            values={**config.values, **values, **passed},
            absent=config.absent - replaced,
            invalid=(config.invalid - settled) | invalid,
            # What config.json says about a field no longer matters once a usable value overrides it.
            problems=(*(problem for problem in config.problems if problem.field not in mended), *problems),
            warnings=(*config.warnings, *warnings),
            family=config.family,
        ),
        origins,
    )
