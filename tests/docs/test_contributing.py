"""The files that make contributing easy say the same as the Makefile, the command line and the documents."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.test_examples import parser
from tests.support.matrix import rows
from tests.support.processes import ROOT

GITHUB = ROOT / ".github"
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if GITHUB.is_dir() else []


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile, with the tools in ``.venv``."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found.splitlines()]


def test_the_hooks_before_a_commit_are_those_of_make_lint() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]

    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == recipe("lint")
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in repository["hooks"])


def test_the_workflow_runs_what_a_change_must_pass_with_the_pythons_of_the_matrix() -> None:
    workflow = load(GITHUB / "workflows" / "ci.yml")
    (job,) = workflow["jobs"].values()
    (setup,) = [step["with"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    pythons = [row.python for row in rows().values()]

    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR
    assert set(setup["python-version"].split()) == set(pythons)
    assert setup["python-version"].split()[-1] == max(pythons)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_is_one_that_github_shows(path: Path) -> None:
    form = load(path)
    fields = [item for item in form["body"] if item["type"] != "markdown"]

    assert {"name", "description", "labels", "body"} == set(form)
    assert all(item["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"} for item in form["body"])
    assert len({item["id"] for item in fields}) == len(fields) > 3
    assert all(item["attributes"]["label"] for item in fields)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_asks_for_commands_that_exist_and_for_the_report(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    commands = re.findall(r"`python -m mf_qwen3_patch ([^`]+)`", text)
    for command in commands:
        parser().parse_args(command.split())

    assert "status --json" in commands
    assert "print(model.mf_qwen3_report)" in text
    (status,) = [item for item in load(path)["body"] if item.get("id") == "status"]
    assert status["validations"]["required"] is True


def test_there_is_a_form_for_bugs_and_one_for_checkpoints() -> None:
    assert [path.stem for path in FORMS] == ["bug", "checkpoint"]


@pytest.mark.parametrize("name", [".github/PULL_REQUEST_TEMPLATE.md", ".github/ISSUE_TEMPLATE/bug.yml"])
def test_the_files_that_a_template_names_are_there(name: str) -> None:
    named = re.findall(r"\b(?:docs/)?[\w/.-]+\.md\b", (ROOT / name).read_text(encoding="utf-8"))

    assert named
    assert all((ROOT / file).is_file() for file in named)


def test_the_targets_that_the_template_of_a_pull_request_names_are_there() -> None:
    named = re.findall(r"`make (\w+)`", (GITHUB / "PULL_REQUEST_TEMPLATE.md").read_text(encoding="utf-8"))

    assert len(named) > 2
    assert all(recipe(target) for target in named)
