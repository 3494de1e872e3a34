"""The command line as a whole: version, help, suggestions, exit codes, errors as JSON, color."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint

import mf_qwen3_patch
from mf_qwen3_patch import errors
from mf_qwen3_patch.cli import _exit_codes, check, convert
from mf_qwen3_patch.cli._terminal import paint
from mf_qwen3_patch.cli.main import _COMMANDS, build_parser, main


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mf_qwen3_patch {mf_qwen3_patch.__version__}\n"


@pytest.mark.parametrize("words", [["help", "convert"], ["convert", "--help"]])
def test_help_shows_examples_line_by_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()

    assert "  mf-qwen3 convert ./Qwen3-8B ./qwen3-8b-inference" in lines


def examples() -> Iterator[str]:
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        yield from (example.format(prog=f"mf-qwen3 {name}") for example in command.EXAMPLES)


@pytest.mark.parametrize("example", [*examples()])
def test_every_example_is_right_usage(example: str) -> None:
    words = shlex.split(example.removeprefix('export PYTHONSTARTUP="$(').removesuffix(')"'))

    assert words[0] == "mf-qwen3"
    assert build_parser().parse_args(words[1:]).run


def test_a_misspelled_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chek"]) == 2
    assert "did you mean check?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.IncompleteCheckpoint([errors.Problem(errors.IncompleteCheckpoint, "no")]), 1),
        (errors.LoadNotProven("no"), 1),
        (ValueError("no"), 2),
        (FileNotFoundError("no"), 2),
        (NotADirectoryError("no"), 2),
        (PermissionError("no"), 3),
        (OSError(28, "No space left on device"), 3),
        (ModuleNotFoundError("no"), 3),
        (errors.DeviceUnavailable("no"), 3),
        (errors.ActivationError("no"), 3),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_the_exit_code_goes_by_the_meaning_of_the_error(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(check, "preflight", fail)
    monkeypatch.setattr(check.Location, "find", lambda self: self)
    monkeypatch.setattr(check.Location, "path", Path(), raising=False)

    assert main(["check", "somewhere"]) == code


def test_an_error_names_the_command_that_explains_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "absent")]) == 2
    assert "`mf-qwen3 explain MFQ002` says more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["check", "/nowhere/at/all", "--json"], 2, "IncompleteCheckpoint"),
        (["check", "--json"], 2, "ValueError"),
        (["check", "{model}", "--config", "/nowhere.yaml", "--json"], 2, "FileNotFoundError"),
    ],
)
def test_json_is_printed_for_what_ends_early_too(
    words: list[str], code: int, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_checkpoint(tmp_path)

    assert main([word.format(model=model) for word in words]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["schema_version"] == 1
    assert found["error"]["kind"] == kind
    assert found["error"]["exit_code"] == code
    assert found["error"]["message"]


def test_the_answer_has_the_version_of_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write_checkpoint(tmp_path)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema_version"] == 1


def test_a_broken_checkpoint_is_a_problem_and_no_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise errors.error_for([errors.Problem(errors.CorruptCheckpoint, "truncated")])

    monkeypatch.setattr(convert, "resumable", fail)

    assert main(["convert", str(tmp_path), str(tmp_path / "out")]) == _exit_codes.PROBLEMS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "variables", "colored"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_color_is_for_terminals_that_want_it(
    file: io.StringIO, variables: dict[str, str], colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert (paint("word", "red", file) == "\033[31mword\033[0m") is colored
    assert colored or paint("word", "red", file) == "word"
