from __future__ import annotations

import pickle
import warnings

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
        "code": "MFQ002",
        "kind": "IncompleteCheckpoint",
        "summary": "a shard is missing",
        "file": "model-00002-of-00008.safetensors",
    }


def test_every_class_that_is_raised_has_a_code_of_its_own() -> None:
    bases = {errors.Qwen3PatchError, errors.CheckpointError}
    classes = {cls for name in errors.__all__ if isinstance(cls := getattr(errors, name), type)}
    raised = {cls for cls in classes - bases if issubclass(cls, (Exception, Warning))}

    assert {cls.__name__ for cls in raised} == set(errors.CODES)
    assert len(set(errors.CODES.values())) == len(errors.CODES)
    for cls in raised:
        assert cls.code == errors.CODES[cls.__name__]


def test_a_subclass_has_the_code_of_its_base() -> None:
    class Special(errors.LoadNotProven):
        pass

    assert str(Special("reason")) == "[MFQ006] reason"


def test_a_message_starts_with_the_code_once_however_many_problems_it_names() -> None:
    assert str(error_for([MISSING])).startswith("[MFQ002] a shard is missing\n")
    both = str(error_for([MISSING, MISMATCH], "/data/qwen")).splitlines()
    assert both[0] == "[MFQ002] 2 problems in /data/qwen:"
    assert both[1] == "  1. [MFQ002] a shard is missing"
    assert "  2. [MFQ001] hidden_size is 4096 in the YAML" in both
    assert str(pickle.loads(pickle.dumps(error_for([MISSING])))) == str(error_for([MISSING]))


def test_a_warning_shows_its_code() -> None:
    with pytest.warns(errors.LatePatchWarning) as caught:
        warnings.warn("too late", errors.LatePatchWarning, stacklevel=1)

    assert str(caught[0].message) == "[MFQ103] too late"


def test_an_error_without_a_problem_is_a_bug() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ConfigMismatch([])


def test_every_public_name_exists() -> None:
    assert all(hasattr(errors, name) for name in errors.__all__)


def alike(count: int) -> list[Problem]:
    names = [f"model-{number:05d}-of-00008.safetensors" for number in range(1, count + 1)]
    return [
        Problem(IncompleteCheckpoint, f"{name} is not there; {50 + len(name)} tensors went with it", file=name)
        for name in names
    ]


def test_many_problems_of_one_cause_are_told_together_but_stay_objects() -> None:
    error = error_for(alike(8), "/data/qwen")

    assert len(error.problems) == 8
    assert str(error).splitlines() == [
        "[MFQ002] model-00001-of-00008.safetensors is not there; 82 tensors went with it in /data/qwen",
        "  where: file model-00001-of-00008.safetensors",
        "  and 7 more like it: "
        + ", ".join(f"model-0000{number}-of-00008.safetensors" for number in range(2, 7))
        + ", ...",
    ]


def test_causes_are_counted_and_keep_their_order() -> None:
    first, *others = alike(4)
    lines = str(error_for([first, MISMATCH, *others], "/data/qwen")).splitlines()

    assert lines[0] == "[MFQ002] 2 problems in /data/qwen:"
    assert lines[1].startswith("  1. [MFQ002] model-00001-of-00008")
    assert lines[3].startswith("     and 3 more like it: model-00002")
    assert lines[4].startswith("  2. [MFQ001] hidden_size")


def test_two_of_a_cause_are_shown_with_all_their_values() -> None:
    assert str(error_for(alike(2))).startswith("[MFQ002] 2 problems:")


def test_numbers_and_shapes_stay_numbers_in_json() -> None:
    found = Problem(ConfigMismatch, "x", expected=4096, found=(80, 160)).as_dict()
    assert (found["expected"], found["found"]) == (4096, [80, 160])
