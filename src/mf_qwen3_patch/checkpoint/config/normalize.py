"""config.json in the dialect that MindFormers accepts, whichever transformers release wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mf_qwen3_patch._display import json_kind, short_json
from mf_qwen3_patch.checkpoint.config.problem import field_problem
from mf_qwen3_patch.checkpoint.config.rope import ROPE_KEYS, Rope, read_rope, whole_number
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint, some
from mf_qwen3_patch.families.config_schema import DTYPES, PASSED_ON, ConfigSchema, Field
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.registry import find_family
from mf_qwen3_patch.families.tensors import ModelDims

_DIALECT_KEYS = ROPE_KEYS | {
    *("dtype", "torch_dtype", "layer_types", "auto_map"),
    "quantization_config",  # judged by the check for unsupported checkpoints, which names the method
}
_KEY_VALUE_HEADS = "num_key_value_heads"
_WINDOW = "use_sliding_window"


@dataclass(frozen=True)
class NormalizedConfig:
    """A config in the dialect of transformers 4.51, which MindFormers 1.7's Qwen3Config accepts."""

    values: dict[str, Any]  # the keys to build the model's config from; torch_dtype is a string
    absent: frozenset[str] = frozenset()  # fields that the config lacks; their value is HuggingFace's default
    invalid: frozenset[str] = frozenset()  # fields whose value is unusable, with the default in its place
    problems: tuple[Problem, ...] = ()  # what can't be carried over rightly
    warnings: tuple[str, ...] = ()  # what was left out
    family: Family = QWEN3

    @cached_property
    def dims(self) -> ModelDims:
        """The model's dimensions, which decide the tensors' shapes."""
        return self.family.dims_of(self.values)


def normalize(raw: Mapping[str, Any], *, source: str = "config.json", family: Family | None = None) -> NormalizedConfig:
    """Translate a raw config into one dialect, with HuggingFace's defaults for absent keys; raises nothing.

    ``source`` is what it is called in messages. Without a family it is of the one that it names, or the dense Qwen3.
    """
    family = family or find_family(raw) or QWEN3
    raw, ambiguous = _original_names(raw, source, family.schema)
    fields = family.schema.fields
    # transformers: null means multi-head attention, absent means the default.
    multi_head = raw.get(_KEY_VALUE_HEADS, 0) is None
    said = {name: value for name, value in raw.items() if not (multi_head and name == _KEY_VALUE_HEADS)}
    given, problems, warnings = read_fields(said, source, family.schema, {})
    problems += ambiguous
    invalid = (fields.keys() & {problem.field for problem in problems}) - given.keys()
    values: dict[str, Any] = {name: field.default for name, field in fields.items()}
    if multi_head:
        given[_KEY_VALUE_HEADS] = given.get("num_attention_heads", values["num_attention_heads"])
    values |= {"rope_scaling": None, **given}
    if values["head_dim"] is None:
        values["head_dim"] = max(1, values["hidden_size"] // values["num_attention_heads"])
    absent = frozenset(fields.keys() - given.keys() - invalid - raw.keys())
    if "rope_theta" in absent:
        warnings.append(f"{source} has no rope_theta; HuggingFace's default {values['rope_theta']} is used")
    return NormalizedConfig(values, absent, frozenset(invalid), tuple(problems), tuple(warnings), family)


def _original_names(
    raw: Mapping[str, Any], source: str, schema: ConfigSchema
) -> tuple[Mapping[str, Any], list[Problem]]:
    """Return a raw config with each key by transformers 4.51's name, and where both names contradict each other."""
    problems: list[Problem] = []
    for other, name in schema.renamed.items():
        if raw.get(other) is None:
            continue
        if raw.get(name, raw[other]) != raw[other]:
            both = f"{name}: {raw[name]!r:.60}", f"{other}: {raw[other]!r:.60}"
            summary = f"gives {name} twice, by both names that transformers has for it, with different values"
            advice = "keep the one that says how many the weights have"
            problems.append(field_problem(ConfigMismatch, source, name, summary, *both, advice))
        raw = {name: raw[other], **{key: value for key, value in raw.items() if key != other}}
    return raw, problems


def read_fields(
    raw: Mapping[str, Any], source: str, schema: ConfigSchema, beneath: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem], list[str]]:
    """Read the keys that ``raw`` has, without defaults: valid values in the 4.51 dialect, problems, and warnings.

    If they are overrides, ``beneath`` is the normalized config that they override.
    """
    fields, length = schema.fields, "max_position_embeddings"
    rope = Rope()
    # Overrides seldom speak of the rotary embedding, and then the config beneath has been read already.
    if not beneath or not ROPE_KEYS.isdisjoint(raw):
        lengths = raw.get(length), beneath.get(length), fields[length].default
        rope = read_rope(raw, source, next(filter(fields[length].valid, map(whole_number, lengths))))
    problems, warnings = rope.problems, rope.warnings
    # null means "the default", for which MindFormers has its own.
    values: dict[str, Any] = {name: raw[name] for name in PASSED_ON if raw.get(name) is not None}
    for name, value in {**{name: raw[name] for name in fields if name in raw}, **rope.values}.items():
        if name == length:
            value = whole_number(value)
        if name == "rope_scaling" or fields[name].valid(value):
            values[name] = value
        else:
            wanted, found = fields[name].wanted, short_json(value)
            summary = f"has an unusable value for {name}"
            advice = _as_number(name, value, fields[name]) or (
                f"set {name} to {wanted}, as the model's original config.json does"
            )
            problems.append(field_problem(ConfigMismatch, source, name, summary, wanted, found, advice))
    theta = values.get("rope_theta", beneath.get("rope_theta"))
    if theta == 1 and values.get("rope_scaling", beneath.get("rope_scaling")):
        summary, wanted = "asks for yarn with a rope_theta of 1, by whose logarithm yarn divides", "another rope_theta"
        advice = "set rope_theta to what the model's original config.json has"
        problems.append(field_problem(ConfigMismatch, source, "rope_theta", summary, wanted, short_json(theta), advice))
    for name, neutral in schema.neutral.items():
        if name in raw and raw[name] not in neutral and not (name == _WINDOW and _no_layer_slides(raw, beneath)):
            wanted, found = short_json(neutral[0]), short_json(raw[name])
            summary = f"sets {name} to {short_json(raw[name])}, which changes the output and can't be carried over"
            advice = "use a plain Qwen3 checkpoint, or run this one with HuggingFace transformers"
            problems.append(field_problem(UnsupportedCheckpoint, source, name, summary, wanted, found, advice))
    problems += _layer_types(raw.get("layer_types"), source)
    values |= _dtype(raw, source, warnings)
    if raw.get("auto_map"):
        warnings.append(f"{source} has an auto_map; its custom code is not run, the model is built as plain Qwen3")
    known = fields.keys() | schema.neutral.keys() | PASSED_ON | schema.harmless | _DIALECT_KEYS
    # Of what Qwen3 has not at all, "none of it" is no news.
    unknown = sorted(str(name)[:80] for name, value in raw.items() if name not in known and value)
    if unknown:
        warnings.append(f"{source} has keys that Qwen3 does not use, ignored: {some(unknown, 10, ' and {} more')}")
    return values, problems, warnings


def _as_number(name: str, text: Any, field: Field) -> str | None:
    """Return what to do about a number that is given as text: YAML takes ``1e-6`` for that."""
    try:
        number = float(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if number is None or not field.valid(number):
        return None
    return f"write it as a number, {name}: {_with_point(number)}; without quotes, and with a point in YAML"


def _with_point(number: float) -> str:
    mantissa, _, exponent = repr(number).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa


def _no_layer_slides(raw: Mapping[str, Any], beneath: Mapping[str, Any]) -> bool:
    """Return whether ``use_sliding_window: true`` changes nothing, by the fields that it depends on.

    transformers 4 slides from layer ``max_window_layers`` on; newer releases go by ``layer_types``, if they are given.
    """
    if raw[_WINDOW] is not True or beneath:
        return False
    layers, first = raw.get("num_hidden_layers", 32), raw.get("max_window_layers", 28)
    beyond_all = isinstance(layers, int) and isinstance(first, int) and first >= layers
    types = raw.get("layer_types")
    all_full = isinstance(types, list) and bool(types) and all(kind == "full_attention" for kind in types)
    return raw.get("sliding_window", 4096) is None or beyond_all or all_full


def _layer_types(types: Any, source: str) -> list[Problem]:
    if isinstance(types, list):
        others = (
            f"{short_json(kind)} in layer {layer}" for layer, kind in enumerate(types) if kind != "full_attention"
        )
        found = next(others, None)
    else:
        found = None if types is None else json_kind(types)
    if found is None:
        return []
    summary = f"has layers that do not use full attention ({found}); MindFormers has only that"
    wanted, advice = "full_attention in every layer", "use a checkpoint without sliding-window layers"
    return [field_problem(UnsupportedCheckpoint, source, "layer_types", summary, wanted, found, advice)]


def _dtype(raw: Mapping[str, Any], source: str, warnings: list[str]) -> dict[str, str]:
    """Return ``torch_dtype``, if either of its names gives a known one."""
    given: dict[str, str] = {}
    for key in ("dtype", "torch_dtype"):  # the newer name wins, as in transformers
        value = raw.get(key)
        name = value.removeprefix("torch.") if isinstance(value, str) else ""
        if name in DTYPES:
            given[key] = name
        elif value not in (None, "auto"):
            warnings.append(
                f"{source} has an unknown {key} {short_json(value)}, ignored; the weights' own dtype counts"
            )
    if len(set(given.values())) > 1:
        warnings.append(
            f"{source} has dtype {given['dtype']} but torch_dtype {given['torch_dtype']}; the former is used"
        )
    return {"torch_dtype": next(iter(given.values()))} if given else {}
