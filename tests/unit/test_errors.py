from __future__ import annotations

import pickle

import pytest

from mf_qwen3_patch import errors
from mf_qwen3_patch.errors import ConfigMismatch, IncompleteCheckpoint, Problem, error_for

MISMATCH = Problem(
    ConfigMismatch,
    "hidden_size is 4096 in the YAML",
    file="model-00001-of-00008.safetensors",
    tensor="model.embed_tokens.weight",
    field="hidden_size",
    expected=4096,
    found=5120,
    advice="drop it",
)
MISSING = Problem(IncompleteCheckpoint, "a shard is missing", file="model-00002-of-00008.safetensors")


def test_one_problem_shows_where_both_values_and_what_to_do() -> None:
    text = str(error_for([MISMATCH], "/data/qwen"))

    for fact in (
        "4096",
        "5120",
        "model-00001-of-00008.safetensors",
        "model.embed_tokens.weight",
        "/data/qwen",
        "drop it",
    ):
        assert fact in text


def test_the_class_is_that_of_the_most_important_problem() -> None:
    error = error_for([MISSING, MISMATCH], "/data/qwen")

    assert type(error) is IncompleteCheckpoint
    assert error.problems == (MISSING, MISMATCH)
    assert "2 problems in /data/qwen" in str(error)
    assert "drop it" in str(error)


def test_existing_except_clauses_go_on_working() -> None:
    with pytest.raises(ValueError, match="shard"):
        raise error_for([MISSING])
    with pytest.raises(RuntimeError, match="reason"):
        raise errors.LoadNotProven("reason")


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(error_for([MISMATCH], "/data/qwen")))

    assert error.problems == (MISMATCH,)
    assert error.subject == "/data/qwen"


def test_a_problem_as_json_leaves_out_what_is_not_known() -> None:
    assert MISSING.as_dict() == {
        "kind": "IncompleteCheckpoint",
        "summary": "a shard is missing",
        "file": "model-00002-of-00008.safetensors",
    }


def test_an_error_without_a_problem_is_a_bug() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ConfigMismatch([])


def test_every_public_name_exists() -> None:
    assert all(hasattr(errors, name) for name in errors.__all__)
