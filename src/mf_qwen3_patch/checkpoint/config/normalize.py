"""config.json in the dialect that MindFormers accepts, whichever transformers release wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from mf_qwen3_patch.checkpoint.config.rope import ROPE_KEYS, Rope, read_rope
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint
from mf_qwen3_patch.families.config_schema import DTYPES, PASSED_ON, ConfigSchema
from mf_qwen3_patch.families.family import Family
from mf_qwen3_patch.families.qwen3 import QWEN3
from mf_qwen3_patch.families.registry import find_family
from mf_qwen3_patch.families.tensors import ModelDims

_DIALECT_KEYS = frozenset(
    {"dtype", "torch_dtype", "layer_types", "rope_theta", "rope_scaling", "rope_parameters", "auto_map"}
    | {"quantization_config"}  # judged by kinds.py, which names the method
)

_SCALING = "rope_scaling"


@dataclass(frozen=True)
class NormalizedConfig:
    """A config in the dialect of transformers 4.51, which MindFormers 1.7's Qwen3Config accepts.

    Attributes:
        values: The keys to build the model's config from; ``torch_dtype`` is a string.
        absent: Fields that the config does not have, so that HuggingFace's default is in ``values``.
        invalid: Fields whose value is unusable; the default is in ``values`` instead.
        problems: What can't be carried over rightly.
        warnings: What was left out.
        family: The family that the config is of.
    """

    values: dict[str, Any]
    absent: frozenset[str] = frozenset()
    invalid: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    family: Family = QWEN3

    @cached_property
    def dims(self) -> ModelDims:
        """The model's dimensions, which decide the tensors' shapes."""
        return self.family.dims_of(self.values)


def normalize(raw: Mapping[str, Any], *, source: str = "config.json", family: Family | None = None) -> NormalizedConfig:
    """Translate a raw config into one dialect, with HuggingFace's defaults for absent keys.

    Args:
        raw: config.json as it is.
        source: What it is called in messages.
        family: The family that it is of; by default the one that it names, or the dense Qwen3.

    Returns:
        The values, with the problems and warnings; raises nothing.
    """
    family = family or find_family(raw) or QWEN3
    schema = family.schema
    fields = schema.fields
    given, problems, warnings = read_fields(raw, source, schema)
    invalid = {problem.field for problem in problems if problem.field in fields} - given.keys()
    values: dict[str, Any] = {name: field.default for name, field in fields.items()}
    if raw.get("num_key_value_heads", 0) is None:
        # transformers: null means multi-head attention, absent means the default.
        values["num_key_value_heads"] = given.get("num_attention_heads", values["num_attention_heads"])
        given.pop("num_key_value_heads", None)
        invalid.discard("num_key_value_heads")
        problems = [problem for problem in problems if problem.field != "num_key_value_heads"]
    values |= {_SCALING: None, **given}
    if values["head_dim"] is None:
        values["head_dim"] = max(1, values["hidden_size"] // values["num_attention_heads"])
    absent = frozenset(name for name in fields if name not in given and name not in invalid and name not in raw)
    if "rope_theta" in absent:
        warnings.append(f"{source} has no rope_theta; HuggingFace's default {values['rope_theta']} is used")
    return NormalizedConfig(
        values, absent, frozenset(name for name in invalid if name), tuple(problems), tuple(warnings), family
    )


def read_fields(
    raw: Mapping[str, Any],
    source: str,
    schema: ConfigSchema = QWEN3.schema,
    beneath: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[dict[str, Any], list[Problem], list[str]]:
    """Read the keys that ``raw`` has, without filling in defaults.

    Args:
        raw: Keys and values.
        source: What they are called in messages.
        schema: What they may be.
        beneath: The config that they override, if they do.

    Returns:
        Valid values in the 4.51 dialect, problems, and warnings.
    """
    values: dict[str, Any] = {
        # null means "the default", for which MindFormers has its own.
        name: raw[name]
        for name in PASSED_ON
        if raw.get(name) is not None
    }
    # Overrides seldom speak of the rotary embedding, and then the config beneath has been read already.
    speaks_of_rope = not beneath or not ROPE_KEYS.isdisjoint(raw)
    rope = read_rope(raw, source, _max_position_embeddings(raw, beneath, schema)) if speaks_of_rope else Rope()
    problems, warnings = list(rope.problems), list(rope.warnings)
    if _SCALING in rope.values:
        values[_SCALING] = rope.values.pop(_SCALING)
    for name, value in {**{name: raw[name] for name in schema.fields if name in raw}, **rope.values}.items():
        if schema.fields[name].valid(value):
            values[name] = value
        else:
            problems.append(_invalid(name, value, source, schema))
    for name, neutral in schema.neutral.items():
        if name in raw and raw[name] not in neutral:
            problems.append(_refused(name, raw[name], neutral[0], source))
    problems += _layer_types(raw, source)
    dtype = _dtype(raw, source, warnings)
    if dtype is not None:
        values["torch_dtype"] = dtype
    if raw.get("auto_map"):
        warnings.append(f"{source} has an auto_map; its custom code is not run, the model is built as plain Qwen3")
    known = schema.fields.keys() | schema.neutral.keys() | PASSED_ON | schema.harmless | _DIALECT_KEYS
    unknown = sorted(str(name)[:80] for name in raw if name not in known)
    if unknown:
        listed = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        warnings.append(f"{source} has keys that Qwen3 does not use, ignored: {listed}")
    return values, problems, warnings


def _max_position_embeddings(raw: Mapping[str, Any], beneath: Mapping[str, Any], schema: ConfigSchema) -> int:
    name = "max_position_embeddings"
    usable = filter(schema.fields[name].valid, (raw.get(name), beneath.get(name)))
    length: Any = next(usable, schema.fields[name].default)
    return int(length)


def _invalid(name: str, value: Any, source: str, schema: ConfigSchema) -> Problem:
    wanted = schema.fields[name].wanted
    return Problem(
        ConfigMismatch,
        f"{source} has an unusable value for {name}",
        file=source,
        field=name,
        expected=wanted,
        found=repr(value)[:80],
        advice=f"set {name} to {wanted}, as the model's original config.json does",
    )


def _refused(name: str, value: Any, neutral: Any, source: str) -> Problem:
    return Problem(
        UnsupportedCheckpoint,
        f"{source} sets {name} to {value!r:.80}, which changes the output and can't be carried over",
        file=source,
        field=name,
        expected=repr(neutral),
        found=repr(value)[:80],
        advice="use a plain Qwen3 checkpoint, or run this one with HuggingFace transformers",
    )


def _layer_types(raw: Mapping[str, Any], source: str) -> list[Problem]:
    types = raw.get("layer_types")
    if types is None or (isinstance(types, list) and all(kind == "full_attention" for kind in types)):
        return []
    if isinstance(types, list):
        layer = next(number for number, kind in enumerate(types) if kind != "full_attention")
        found = f"{types[layer]!r:.60} in layer {layer}"
    else:
        found = type(types).__name__
    return [
        Problem(
            UnsupportedCheckpoint,
            f"{source} has layers that do not use full attention ({found}); MindFormers has only that",
            file=source,
            field="layer_types",
            expected="full_attention in every layer",
            found=found,
            advice="use a checkpoint without sliding-window layers",
        )
    ]


def _dtype(raw: Mapping[str, Any], source: str, warnings: list[str]) -> str | None:
    given: dict[str, str] = {}
    for key in ("dtype", "torch_dtype"):  # the newer name wins, as in transformers
        value = raw.get(key)
        if value is None:
            continue
        name = value.removeprefix("torch.") if isinstance(value, str) else ""
        if name in DTYPES:
            given[key] = name
        elif value != "auto":
            warnings.append(f"{source} has an unknown {key} {value!r:.60}, ignored; the weights' own dtype counts")
    if len(set(given.values())) > 1:
        warnings.append(
            f"{source} has dtype {given['dtype']} but torch_dtype {given['torch_dtype']}; the former is used"
        )
    return next(iter(given.values()), None)
