"""What comes from a file is shown short, on one line, and without control characters, wherever it is shown."""

from __future__ import annotations

import json
import warnings

import pytest

from mf_qwen3_patch._display import json_kind, printable, short_json, short_repr
from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.checkpoint.reading.strict_json import json_bytes
from mf_qwen3_patch.errors import CheckpointWarning, CorruptCheckpoint, Problem, error_for

EVIL = "a\x1b[2Jb\r\nroot: all is well\u202ec\ud800d\x9b\u2028"
SHOWN = r"a\x1b[2Jb\r\nroot: all is well\u202ec\ud800d\x9b\u2028"


def test_what_is_not_printable_is_escaped() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("两行\n", keep="\n") == "两行\n"
    assert printable("权重 model-00001.safetensors é") == "权重 model-00001.safetensors é"


def test_no_more_of_a_value_is_made_than_is_shown() -> None:
    value: object = "x"
    for _ in range(100):  # its repr has 2 ** 100 characters, and would never end
        value = [value, value]
    assert len(short_repr(value)) <= 80
    assert len(short_repr({"a" * 1000: "b" * 1000, "c": 10**4000})) <= 80
    assert short_repr("\x1b") == r"'\x1b'"
    assert short_repr({"rope_type": "yarn", "factor": 4.0}) == "{'factor': 4.0, 'rope_type': 'yarn'}"


@pytest.mark.parametrize("field", ["summary", "file", "tensor", "parameter", "field", "expected", "found", "advice"])
@pytest.mark.parametrize("count", [1, 2])
def test_an_error_has_no_line_that_a_name_has_made(field: str, count: int) -> None:
    harmless = {"summary": "is wrong", field: "x"}
    evil = {"summary": "is wrong", field: EVIL}
    lines = [
        str(error_for([Problem(CorruptCheckpoint, **values)] * count, subject)).split("\n")  # type: ignore[arg-type]
        for values, subject in ((harmless, "dir"), (evil, EVIL))
    ]
    assert len(lines[0]) == len(lines[1])
    assert SHOWN in "\n".join(lines[1])
    assert all(line.isprintable() for line in lines[1])


def test_a_warning_is_one_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn(f"ignored: {EVIL}", CheckpointWarning)
    assert str(caught[0].message) == f"[MFQ101] ignored: {SHOWN}"
    assert str(CheckpointWarning(EVIL)) == f"[MFQ101] {SHOWN}"


def test_json_can_hold_half_of_a_surrogate_pair() -> None:
    assert json.loads(json_bytes({"a": "\ud800 权"})) == {"a": "\ud800 权"}
    assert "权".encode() in json_bytes({"a": "权"})


def test_values_of_files_are_shown_as_json_writes_them() -> None:
    shown = {None: "null", True: "true", 1e-6: "1e-06", "gelu": '"gelu"', (80, 160): "[80, 160]"}
    assert {value: short_json(value) for value in shown} == shown
    assert short_json({"rope_type": "权", "factor": None}) == '{"factor": null, "rope_type": "权"}'
    assert [json_kind(value) for value in (None, True, 1, "", [], {})] == [
        "null",
        "a boolean",
        "a number",
        "a string",
        "a list",
        "a map",
    ]


def test_no_problem_shows_a_python_repr() -> None:
    shown = str(Problem(CorruptCheckpoint, "is wrong", expected=(80, 160), found={"a": None, "b": [True, "x"]}))
    assert "expected: [80, 160], found: " in shown
    assert '{"a": null, "b": [true, "x"]}' in shown
