"""MindFormers' documented ways to predict give the right tokens, typed as they are; what can't work says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.snippets import SNIPPETS, outcomes

# They share one process that has imported MindFormers.
GROUPS = [
    pytest.param([snippet for snippet in SNIPPETS if snippet.quick], id="quick"),
    pytest.param([snippet for snippet in SNIPPETS if not snippet.quick], id="others", marks=pytest.mark.sweep),
]


@pytest.mark.parametrize("snippets", GROUPS)
def test_it_says_what_huggingface_says(snippets: list, tmp_path: Path) -> None:
    found = outcomes(snippets, tmp_path, shim=True)

    for snippet in snippets:
        outcome = found[snippet.name]
        said = outcome.get("said", f"{outcome.get('error')}: {outcome.get('message')}")
        if snippet.error:
            assert said.startswith(snippet.error), (snippet.name, outcome)
        else:
            assert said == snippet.says, (snippet.name, outcome)
