"""``explain``: what the troubleshooting page says of a code."""

from __future__ import annotations

import pytest

from mf_qwen3_patch.cli.explain import read_page
from mf_qwen3_patch.cli.main import main
from mf_qwen3_patch.errors import CODES


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_every_code_is_explained(name: str, code: str, language: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code, "--lang", language]) == 0
    by_code = capsys.readouterr().out
    assert main(["explain", name, "--lang", language]) == 0
    by_name = capsys.readouterr().out

    assert by_code == by_name
    heading, *text = by_code.splitlines()
    assert heading == f"{code} {name}"
    assert any(line.strip() for line in text)
    assert not [line for line in text if line.startswith("|") or "](" in line]


def test_a_row_of_the_page_is_a_message_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "MFQ006", "--lang", "en"])
    lines = capsys.readouterr().out.splitlines()

    message = lines.index("`MindFormers' own loader did not load N of M parameters`")
    assert lines[message + 1].startswith("    a model that needs the fallback loader")
    assert "message" not in lines[1]


def test_one_entry_does_not_run_into_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "MFQ103", "--lang", "en"])

    assert "stock" not in capsys.readouterr().out.lower()


def test_without_a_code_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--lang", "zh"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[code, name] for name, code in CODES.items()]


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "zh_TW.UTF-8"}, "zh"),
        ({}, "en"),
    ],
)
def test_the_locale_chooses_the_language(
    variables: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    main(["explain", "MFQ005"])

    assert capsys.readouterr().out.splitlines()[1][:20] in read_page(language)


@pytest.mark.parametrize(
    ("asked", "answer"), [("IncompletCheckpoint", "did you mean IncompleteCheckpoint?"), ("tea", "lists all codes")]
)
def test_an_unknown_code_is_wrong_usage(asked: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", asked]) == 2

    assert answer in capsys.readouterr().err
