"""The registry's own rules, on throw-away modules."""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mf_qwen3_patch.activation.contract import CONTRACT
from mf_qwen3_patch.activation.registry import PATCHES, Patch, Registry
from mf_qwen3_patch.errors import ActivationError, PatchWarning
from mf_qwen3_patch.settings import Settings

IMPLEMENTATION = """
import sys
import {target} as target
REASON = {reason!r}
calls = []
def supports():
    calls.append("supports")
    return REASON
def apply():
    calls.append("apply")
    {apply}
    target.value = "patched"
def revert():
    calls.append("revert")
    {revert}
    target.value = "stock"
    return []
def lost():
    return [] if target.value == "patched" else ["target.value"]
PATCH = sys.modules[__name__]
"""
Make = Callable[..., tuple[Registry, str, str]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write a target and a patch for it; returns a registry and both modules' names."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def _make(reason: str | None = None, apply: str = "", revert: str = "") -> tuple[Registry, str, str]:
        number = f"{tmp_path.name.replace('-', '_')}_{len(made)}"
        target, implementation = f"target_{number}", f"implementation_{number}"
        made.extend([target, implementation])
        (tmp_path / f"{target}.py").write_text('value = "stock"\n')
        (tmp_path / f"{implementation}.py").write_text(
            IMPLEMENTATION.format(target=target, reason=reason, apply=apply or "pass", revert=revert or "pass")
        )
        importlib.invalidate_caches()
        return Registry([Patch("example", target, f"{implementation}:PATCH")]), target, implementation

    return _make


def state(registry: Registry) -> str:
    return registry.status()[0].state


def test_nothing_is_imported_until_the_target_is(make: Make) -> None:
    registry, target, implementation = make()
    registry.activate(Settings())

    assert state(registry) == "pending"
    assert target not in sys.modules
    assert implementation not in sys.modules
    assert importlib.import_module(target).value == "patched"
    assert state(registry) == "applied"


@pytest.mark.parametrize("late", [False, True])
def test_one_line_says_that_all_are_applied_and_none_comes_before(
    late: bool, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    patches = [*make()[0]._patches, *make()[0]._patches]
    first, second = (replace(patch, name=patch.target) for patch in patches)
    registry = Registry([first, second])
    caplog.set_level("INFO")
    if late:
        importlib.import_module(first.target)
    registry.activate(Settings())
    importlib.import_module(first.target)
    assert caplog.messages == []

    importlib.import_module(second.target)
    assert caplog.messages == ["2 patches applied; `mf-qwen3 status` lists them"]


def test_a_target_that_is_there_is_patched_at_once(make: Make) -> None:
    registry, target, _ = make()
    module = importlib.import_module(target)
    registry.activate(Settings())

    assert module.value == "patched"


def test_activating_twice_is_once(make: Make) -> None:
    registry, target, implementation = make()
    registry.activate(Settings())
    importlib.import_module(target)
    registry.activate(Settings())

    assert importlib.import_module(implementation).calls == ["supports", "apply"]


def test_deactivate_and_activate_again(make: Make) -> None:
    registry, target, _ = make()
    registry.activate(Settings())
    module = importlib.import_module(target)
    registry.deactivate()

    assert (module.value, state(registry)) == ("stock", "inactive")
    registry.activate(Settings())
    assert (module.value, state(registry)) == ("patched", "applied")


def test_a_hook_that_fires_after_deactivate_does_nothing(make: Make) -> None:
    registry, target, _ = make()
    registry.activate(Settings())
    registry.deactivate()

    assert importlib.import_module(target).value == "stock"
    assert state(registry) == "inactive"


def test_deactivate_without_activate_is_nothing(make: Make) -> None:
    registry, _, _ = make()
    registry.deactivate()

    assert state(registry) == "inactive"


def test_a_patch_that_steps_aside_says_so(make: Make) -> None:
    registry, target, _ = make(reason="upstream does it itself")
    registry.activate(Settings())
    with pytest.warns(PatchWarning, match="upstream does it itself"):
        module = importlib.import_module(target)

    assert module.value == "stock"
    assert registry.status()[0].reason == "upstream does it itself"
    registry.deactivate()
    assert module.value == "stock"


def test_a_patch_that_fails_does_not_break_the_host(make: Make) -> None:
    registry, target, _ = make(apply="raise KeyError('renamed')")
    registry.activate(Settings())
    with pytest.warns(PatchWarning, match="KeyError: 'renamed'"):
        module = importlib.import_module(target)

    assert module.value == "stock"
    assert state(registry) == "failed"


def test_strict_makes_a_failing_patch_an_error(make: Make) -> None:
    registry, target, _ = make(apply="raise KeyError('renamed')")
    importlib.import_module(target)

    with pytest.raises(ActivationError, match="renamed"):
        registry.activate(Settings(strict=True))


def test_a_disabled_patch_is_skipped_with_the_reason(make: Make) -> None:
    registry, target, _ = make()
    registry.activate(Settings(disabled=frozenset({"example"})))

    assert importlib.import_module(target).value == "stock"
    assert registry.status()[0].state == "skipped"
    assert "MF_QWEN3_PATCH_DISABLE" in registry.status()[0].reason


def test_a_patch_that_cannot_be_reverted_is_named(make: Make) -> None:
    registry, target, _ = make(revert="raise OSError('stuck')")
    registry.activate(Settings())
    importlib.import_module(target)

    with pytest.raises(ActivationError, match="example: stuck"):
        registry.deactivate()
    assert state(registry) == "failed"


def test_many_threads_apply_it_once(make: Make) -> None:
    registry, target, implementation = make()
    start = threading.Barrier(8)

    def race(number: int) -> None:
        start.wait()
        if number % 2:
            importlib.import_module(target)
        else:
            registry.activate(Settings())

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()

    assert importlib.import_module(target).value == "patched"
    assert importlib.import_module(implementation).calls.count("apply") == 1


def test_every_patch_has_an_implementation_of_its_own_name() -> None:
    root = Path(importlib.import_module("mf_qwen3_patch").__file__ or "").parent

    assert len({patch.name for patch in PATCHES}) == len(PATCHES)
    for patch in PATCHES:
        module, name = patch.implementation.split(":")
        source = (root / "patches" / f"{module.rpartition('.')[2]}.py").read_text()
        assert name == patch.name.upper()
        assert f"\n{name} = MethodPatches(" in source
        # It is imported while MindFormers' modules are: what it needs of ours must not need them.
        assert not re.search(r"^(from|import) (mindspore|mindformers|mf_qwen3_patch\.loading)", source, re.MULTILINE)
    sources = "".join(path.read_text() for path in (root / "patches").glob("*.py"))
    declared = re.findall(r"^(\w+) = MethodPatches\(", sources, re.MULTILINE)
    assert sorted(declared) == sorted(patch.name.upper() for patch in PATCHES)


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_the_owner_of_whatever_is_replaced_is_in_the_contract(patch: Patch) -> None:
    known = {symbol.path for symbol in CONTRACT} | {symbol.module for symbol in CONTRACT}
    replaced = patch.load()._patches

    assert replaced
    assert [one.owner for one in replaced if one.owner not in known] == []
    assert [one.expected_owner for one in replaced if one.expected_owner and one.expected_owner not in known] == []
