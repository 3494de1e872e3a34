"""A release whose version, changelog and tag contradict each other is refused."""

from __future__ import annotations

import pytest
from scripts.check_release import NotReady, check_changelog
from tests.support.processes import ROOT

GOOD = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-01-31

### Added

- Something.

## [0.1.0] - 2025-01-31

- Everything.
"""


def test_a_changelog_that_was_cut_is_accepted() -> None:
    check_changelog(GOOD, "0.2.0")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("## [Unreleased]\n", "", "does not begin with an Unreleased section"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n\n- Late.\n", "still has something under Unreleased"),
        ("[0.2.0]", "[0.1.9]", r"newest release in CHANGELOG.md is 0\.1\.9, but the version is 0\.2\.0"),
        (" - 2026-01-31", "", "has no day for 0.2.0"),
        (" - 2026-01-31", " - soon", "has no day for 0.2.0"),
        ("- Something.", "", "says nothing about 0.2.0"),
    ],
)
def test_what_is_wrong_with_a_changelog_is_said(old: str, new: str, why: str) -> None:
    assert old in GOOD
    with pytest.raises(NotReady, match=why):
        check_changelog(GOOD.replace(old, new), "0.2.0")


def test_the_page_says_what_the_script_does() -> None:
    text = (ROOT / "RELEASE.md").read_text(encoding="utf-8")

    assert "python -m scripts.check_release\n" in text
    assert "python -m scripts.check_release --untagged\n" in text
    assert "Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
