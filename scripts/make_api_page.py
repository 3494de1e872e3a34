"""Make docs/reference/api.md: every public name of the package, and nothing else.

python -m scripts.make_api_page
"""

from __future__ import annotations

from pathlib import Path

import mf_qwen3_patch

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"

_HEAD = """# Python API

What `mf_qwen3_patch` exports is public, under these names; every module below it is private and may change.
Importing the package activates the patches, and imports neither MindSpore nor MindFormers: the names that need them
import them when they are first used.
"""


_OPTIONS = """    options:
      show_root_heading: false
      show_root_toc_entry: false
"""


def place_of(name: str) -> str:
    """Return where a public name is defined, as the documentation's tool asks for it."""
    if name in mf_qwen3_patch._LAZY:
        return f"mf_qwen3_patch.{mf_qwen3_patch._LAZY[name]}.{name}"
    value = getattr(mf_qwen3_patch, name)
    if name == "CODES":
        return "mf_qwen3_patch.errors.CODES"
    return f"{value.__module__}.{value.__qualname__}"


def make_page() -> str:
    """Return the page."""
    names = [name for name in mf_qwen3_patch.__all__ if not name.startswith("_")]
    raised = [name for name in names if is_raised(name)]
    functions = [name for name in names if name[0].islower()]
    others = [name for name in names if name not in raised and name not in functions]
    parts = [_HEAD]
    for title, group in (("Functions", functions), ("Results", others), ("Errors and warnings", raised)):
        parts.append(f"## {title}\n")
        for name in group:
            parts.append(f"### {name}\n\n::: {place_of(name)}\n{_OPTIONS}")
    return "\n".join(parts)


def is_raised(name: str) -> bool:
    """Return whether a public name is an exception or a warning; those that need MindFormers are none."""
    value = None if name in mf_qwen3_patch._LAZY else getattr(mf_qwen3_patch, name)
    return isinstance(value, type) and issubclass(value, BaseException)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
