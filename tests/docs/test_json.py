"""The JSON that is printed and written is what the reference says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from scripts import make_json_pages
from scripts.json_objects import ANSWERS, PARTS
from tests.support.checkpoints import edit_config, write_checkpoint
from tests.support.json_schema import check_against_schema

from mf_qwen3_patch.cli.main import main
from mf_qwen3_patch.families.tensors import ModelDims


def test_pages_and_schemas_are_as_the_script_makes_them() -> None:
    for path, text in make_json_pages.files().items():
        assert path.read_text(encoding="utf-8") == text, f"run python -m scripts.make_json_pages: {path.name}"


def damaged(directory: Path) -> None:
    edit_config(directory, hidden_size=64, rms_norm_eps=None)
    (directory / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    ("prepare", "options"),
    [
        (lambda directory: None, []),
        (lambda directory: None, ["--device-memory", "64", "--tp", "2"]),
        (damaged, []),
        (lambda directory: edit_config(directory, head_dim=16, num_key_value_heads=3), []),
    ],
    ids=["sound", "with a plan", "damaged", "contradictory"],
)
def test_check(
    prepare: Callable[[Path], None], options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(write_checkpoint(tmp_path, shards=1))
    main(["check", str(tmp_path), "--json", *options])

    check_against_schema(json.loads(capsys.readouterr().out), "check")


@pytest.mark.parametrize("words", [["check", "/nowhere/at/all"], ["check"], ["selftest", "--device", "GPU"]])
def test_an_early_failure(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 2

    check_against_schema(json.loads(capsys.readouterr().out), "error")


def test_a_key_that_is_not_documented_is_seen() -> None:
    error = {"kind": "ValueError", "message": "no", "exit_code": 2}
    check_against_schema({"schema_version": 1, "error": error}, "error")
    for wrong in (
        {"schema_version": 1, "error": error | {"more": 1}},
        {"schema_version": 2, "error": error},
        {"schema_version": 1, "error": error | {"exit_code": "2"}},
        {"schema_version": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check_against_schema(wrong, "error")


def test_the_dimensions_are_all_documented() -> None:
    assert list(PARTS["Dimensions"]) == [field.name for field in dataclasses.fields(ModelDims)]


@pytest.mark.parametrize("keys", [*(answer.keys for answer in ANSWERS.values()), *PARTS.values()])
def test_every_key_is_explained_in_both_languages(keys: dict[str, tuple[str, str, str]]) -> None:
    assert all(english and chinese and english != chinese for _, english, chinese in keys.values())
