"""Scaled rotary embeddings: yarn is spelled out for MindFormers, the others are refused with the reason."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import make_config, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.errors import ConfigMismatch, UnsupportedCheckpoint

ORIGINAL = 32768
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": ORIGINAL}


def yarn(**settings: Any) -> dict[str, Any]:
    return make_config(max_position_embeddings=4 * ORIGINAL, rope_scaling={**YARN, **settings})


def magnitude(scaling: dict[str, Any]) -> float:
    """What MindFormers multiplies sine and cosine by, as its documentation of mscale has it."""
    growth = 0.1 * math.log(scaling["factor"])
    return float((1 + growth * scaling["mscale"]) / (1 + growth * scaling["mscale_all_dim"]))


def test_yarn_as_the_model_card_writes_it_has_every_setting_that_mindformers_needs() -> None:
    config = normalize(yarn())
    assert config.values["rope_scaling"] == {
        **YARN,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 0.0,
    }
    assert (config.problems, config.warnings) == ((), ())


def test_every_dialect_gives_the_same() -> None:
    expected = normalize(yarn())
    older = make_config(max_position_embeddings=4 * ORIGINAL)
    del older["rope_scaling"]
    newest = {**older, "rope_parameters": {**YARN, "rope_theta": older.pop("rope_theta")}}
    both = yarn() | {"rope_parameters": newest["rope_parameters"]}
    by_its_older_name = yarn() | {
        "rope_scaling": {"type": "yarn", **{k: v for k, v in YARN.items() if k != "rope_type"}}
    }
    for raw in (newest, both, by_its_older_name):
        assert normalize(raw) == expected


@pytest.mark.parametrize("settings", [{}, {"beta_fast": None, "beta_slow": 0, "mscale": None}, {"mscale": 0.7}])
def test_what_is_absent_null_or_half_given_has_huggingfaces_default(settings: dict[str, Any]) -> None:
    assert normalize(yarn(**settings)).values == normalize(yarn()).values


@pytest.mark.parametrize("wanted", [1.0, 0.5, 1.138629436111989, 2.5, 1 / (1 + 0.1 * math.log(4)), 0.0])
@pytest.mark.parametrize("factor", [4.0, 1.001])
def test_an_attention_factor_becomes_an_mscale_with_the_same_effect(wanted: float, factor: float) -> None:
    scaling = normalize(yarn(attention_factor=wanted, factor=factor, mscale=3.0, mscale_all_dim=2.0)).values[
        "rope_scaling"
    ]
    assert "attention_factor" not in scaling
    assert scaling["mscale"]
    assert scaling["mscale_all_dim"]
    assert magnitude(scaling) == pytest.approx(wanted, abs=1e-9)


def test_without_an_original_length_max_position_embeddings_is_scaled() -> None:
    raw = make_config(rope_scaling={"rope_type": "yarn", "factor": 2})
    config = normalize(raw)
    assert config.values["rope_scaling"]["original_max_position_embeddings"] == raw["max_position_embeddings"]
    assert config.values["rope_scaling"]["factor"] == 2.0
    assert not config.warnings


def test_without_a_factor_the_lengths_give_it() -> None:
    assert normalize(yarn(factor=None)) == normalize(yarn())


def test_where_releases_of_transformers_disagree_it_is_said() -> None:
    config = normalize(yarn() | {"max_position_embeddings": 40960})
    (warning,) = config.warnings
    assert not config.problems
    assert config.values["rope_scaling"]["factor"] == 4.0
    for fact in ("config.json", "4.0", "1.25", "40960", "131072"):
        assert fact in warning


def test_keys_that_yarn_does_not_use_are_said() -> None:
    config = normalize(yarn(zap=1, extrapolation=2))
    assert config.values == normalize(yarn()).values
    assert [w for w in config.warnings if "extrapolation, zap" in w]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"factor": "4"}, "factor"),
        ({"factor": 0.5}, "factor"),
        ({"factor": True}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"factor": 10**400}, "factor"),
        ({"original_max_position_embeddings": 0}, "original_max_position_embeddings"),
        ({"original_max_position_embeddings": 1.5}, "original_max_position_embeddings"),
        ({"factor": None, "original_max_position_embeddings": 10**400}, "original_max_position_embeddings"),
        ({"beta_fast": -1}, "beta_fast"),
        ({"beta_slow": "1"}, "beta_slow"),
        ({"attention_factor": -0.1}, "attention_factor"),
        ({"mscale": []}, "mscale"),
        ({"factor": None, "original_max_position_embeddings": None}, "factor"),
        ({"rope_type": None}, "rope_type"),
    ],
)
def test_unusable_settings_are_named(settings: dict[str, Any], field: str) -> None:
    (problem,) = normalize(yarn(**settings)).problems
    assert problem.kind is ConfigMismatch
    assert problem.field == "rope_scaling"
    assert f"rope_scaling.{field}" in problem.summary


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"truncate": False}, "truncate"),
        ({"factor": 1.0, "attention_factor": 0.5}, "attention_factor 0.5"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"rope_type": "linear"}, '"linear"'),
        ({"rope_type": "dynamic"}, '"dynamic"'),
        ({"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}, '"llama3"'),
        ({"rope_type": "longrope", "short_factor": [1.0], "long_factor": [4.0]}, '"longrope"'),
        ({"rope_type": ["yarn"]}, '["yarn"]'),
    ],
)
def test_what_mindformers_would_compute_otherwise_is_refused(settings: dict[str, Any], says: str) -> None:
    (problem,) = normalize(yarn(**settings)).problems
    assert problem.kind is UnsupportedCheckpoint
    assert problem.field == "rope_scaling"
    assert says in str(problem.found)
    assert "MindFormers" in problem.summary or "Qwen3 rotates" in problem.summary


def test_two_dialects_that_disagree_are_an_error() -> None:
    raw = yarn() | {"rope_parameters": {**YARN, "factor": 2.0, "rope_theta": 10000}}
    problems = normalize(raw).problems
    assert {(problem.kind, problem.field) for problem in problems} == {
        (ConfigMismatch, "rope_theta"),
        (ConfigMismatch, "rope_scaling"),
    }


@pytest.mark.parametrize("settings", [{}, {"attention_factor": 0.8}, {"mscale": 0.7, "mscale_all_dim": 1.3}])
def test_what_a_model_was_built_with_means_the_same_again(settings: dict[str, Any], tmp_path: Path) -> None:
    """load_weights compares it with config.json."""
    directory = write_checkpoint(tmp_path, **yarn(**settings))
    scaling = preflight(directory).config["rope_scaling"]
    again = preflight(directory, overrides={"rope_scaling": scaling})
    assert again.config["rope_scaling"] == scaling
    assert (again.problems, again.warnings) == ((), ())


def test_a_keyword_may_ask_for_yarn_and_the_weights_cannot_say(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, max_position_embeddings=40960)
    result = preflight(directory, overrides={"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})
    assert result.problems == ()
    assert result.config["rope_scaling"]["original_max_position_embeddings"] == 40960
    (warning,) = result.warnings
    assert "rope_scaling" in warning
    assert "keyword argument" in warning


def test_a_keyword_may_ask_for_plain_embeddings(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path, rope_scaling={"rope_type": "linear", "factor": 4.0})
    result = preflight(directory, overrides={"rope_scaling": {"rope_type": "default"}})
    assert result.problems == ()
    assert result.config["rope_scaling"] is None
