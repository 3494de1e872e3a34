"""What is said of a tensor that holds NaN or infinity, whoever has read it."""

from __future__ import annotations

from mf_qwen3_patch.errors import InvalidValues, Problem


def not_finite(tensor: str, found: str, *, file: str | None = None, parameter: str | None = None) -> Problem:
    """Return the problem.

    Args:
        tensor: Its name.
        found: What is there instead of finite numbers.
        file: The name of the file that it is from, if it is from one.
        parameter: What it would have become, if that is known.
    """
    return Problem(
        InvalidValues,
        f"{tensor} holds NaN or infinity: whatever the model computed would be NaN",
        file=file,
        tensor=tensor,
        parameter=parameter,
        expected="finite numbers",
        found=found,
        advice="the checkpoint was saved broken or is damaged: download or export it again",
    )
