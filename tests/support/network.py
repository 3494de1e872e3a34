"""Runs commands where there is no network: in a network namespace of their own, which has no interface that is up."""

from __future__ import annotations

import subprocess
from functools import cache

import pytest

# Root may make a namespace; others only inside one of their own users, where the machine allows that.
_WAYS = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))


@cache
def _way() -> tuple[str, ...] | None:
    for way in _WAYS:
        try:
            tried = subprocess.run([*way, "true"], capture_output=True, check=False)
        except OSError:
            continue
        if tried.returncode == 0:
            return way
    return None


def without_network(*command: object) -> list[str]:
    """Return the command that runs ``command`` without a network; skip the test where that is not permitted."""
    way = _way()
    if way is None:
        pytest.skip("a network namespace can't be made here: unshare --net is missing or not permitted")
    return [*way, *map(str, command)]
