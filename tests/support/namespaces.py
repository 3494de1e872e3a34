"""Runs commands in a namespace of their own: where there is no network, or where they may mount file systems."""

from __future__ import annotations

import subprocess
from functools import cache

import pytest


@cache
def _way(kind: str) -> tuple[str, ...] | None:
    # Root may make a namespace; others only inside one of their own users, where the machine allows that.
    for way in (("unshare", kind), ("unshare", "--map-root-user", kind)):
        try:
            tried = subprocess.run([*way, "true"], capture_output=True, check=False)
        except OSError:
            continue
        if tried.returncode == 0:
            return way
    return None


def _in_namespace(kind: str, *command: object) -> list[str]:
    way = _way(kind)
    if way is None:
        pytest.skip(f"a namespace can't be made here: unshare {kind} is missing or not permitted")
    return [*way, *map(str, command)]


def without_network(*command: object) -> list[str]:
    """Return the command that runs ``command`` without a network; skip the test where that is not permitted."""
    return _in_namespace("--net", *command)


def with_mounts_of_its_own(*command: object) -> list[str]:
    """Return the command that runs ``command`` where it may mount; skip the test where that is not permitted."""
    return _in_namespace("--mount", *command)
