"""Activate and deactivate from several threads: what was asked for last holds, and nothing is left half done."""

from __future__ import annotations

import importlib
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mf_qwen3_patch.activation.registry import Patch, Registry
from mf_qwen3_patch.patches._patcher import MethodPatch, MethodPatches, around
from mf_qwen3_patch.settings import Settings

_PATIENCE = 20.0


@dataclass(frozen=True)
class Given(Patch):
    """A patch whose implementation is an object of the test."""

    given: Any = None

    def load(self) -> Any:
        return self.given


class Gated:
    """An implementation that stops inside ``apply`` or ``revert`` until the test lets it go on."""

    def __init__(self) -> None:
        self.value = "stock"
        self.calls: list[str] = []
        self.inside = {"apply": threading.Event(), "revert": threading.Event()}
        self.go_on = {"apply": threading.Event(), "revert": threading.Event()}
        self.meanwhile: Callable[[], object] = lambda: None

    def supports(self) -> None:
        return None

    def apply(self) -> None:
        self._stop("apply")
        self.value = "patched"

    def revert(self) -> list[str]:
        self._stop("revert")
        self.value = "stock"
        return []

    def lost(self) -> list[str]:
        return []

    def _stop(self, work: str) -> None:
        self.calls.append(work)
        self.inside[work].set()
        assert self.go_on[work].wait(_PATIENCE)
        self.meanwhile()

    def open(self, *works: str) -> None:
        for work in works:
            self.go_on[work].set()


@pytest.fixture
def gated() -> Gated:
    return Gated()


@pytest.fixture
def registry(gated: Gated) -> Registry:
    return Registry([Given("example", "json", "", gated)])  # a target that is imported


@pytest.fixture
def background() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Start threads, which must have ended by the end of the test, without an error."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def start(function: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                errors.append(error)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(_PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


Background = Callable[[Callable[[], object]], threading.Thread]


def state(registry: Registry) -> str:
    return registry.status()[0].state


def waits(thread: threading.Thread) -> bool:
    thread.join(0.2)
    return thread.is_alive()


def test_deactivate_waits_for_an_application(registry: Registry, gated: Gated, background: Background) -> None:
    background(lambda: registry.activate(Settings()))
    assert gated.inside["apply"].wait(_PATIENCE)
    gated.open("revert")
    deactivating = background(registry.deactivate)

    assert waits(deactivating)
    gated.open("apply")
    deactivating.join(_PATIENCE)
    assert (gated.value, state(registry), gated.calls) == ("stock", "inactive", ["apply", "revert"])


def start_a_revert(registry: Registry, gated: Gated, background: Background) -> threading.Thread:
    gated.open("apply")
    registry.activate(Settings())
    reverting = background(registry.deactivate)
    assert gated.inside["revert"].wait(_PATIENCE)
    return reverting


def test_activate_waits_for_a_revert(registry: Registry, gated: Gated, background: Background) -> None:
    start_a_revert(registry, gated, background)
    activating = background(lambda: registry.activate(Settings()))

    assert waits(activating)
    assert gated.value == "patched"
    gated.open("revert")
    activating.join(_PATIENCE)
    assert (gated.value, state(registry), gated.calls) == ("patched", "applied", ["apply", "revert", "apply"])


def test_a_second_deactivate_waits_for_the_first(registry: Registry, gated: Gated, background: Background) -> None:
    start_a_revert(registry, gated, background)
    second = background(registry.deactivate)

    assert waits(second)
    gated.open("revert")
    second.join(_PATIENCE)
    assert (gated.value, state(registry), gated.calls) == ("stock", "inactive", ["apply", "revert"])


def test_activate_takes_back_a_deactivate_that_waits(registry: Registry, gated: Gated, background: Background) -> None:
    applying = background(lambda: registry.activate(Settings()))
    assert gated.inside["apply"].wait(_PATIENCE)
    gated.open("revert")
    deactivating = background(registry.deactivate)
    assert waits(deactivating)
    activating = background(lambda: registry.activate(Settings()))
    assert waits(activating)  # for the lock of the target's import, which the first one holds

    gated.open("apply")
    for thread in (applying, deactivating, activating):
        thread.join(_PATIENCE)
    assert (gated.value, state(registry), gated.calls) == ("patched", "applied", ["apply"])


def test_deactivate_takes_back_an_activate_that_waits(registry: Registry, gated: Gated, background: Background) -> None:
    first = start_a_revert(registry, gated, background)
    activating = background(lambda: registry.activate(Settings()))
    assert waits(activating)
    second = background(registry.deactivate)
    assert waits(second)

    gated.open("revert")
    for thread in (first, activating, second):
        thread.join(_PATIENCE)
    assert (gated.value, state(registry), gated.calls) == ("stock", "inactive", ["apply", "revert"])


def test_deactivate_from_inside_an_application_holds(registry: Registry, gated: Gated) -> None:
    gated.open("apply", "revert")
    gated.meanwhile = lambda: registry.deactivate() if gated.calls == ["apply"] else None
    registry.activate(Settings())

    assert (gated.value, state(registry), gated.calls) == ("stock", "inactive", ["apply", "revert"])


def test_activate_from_inside_a_revert_holds(registry: Registry, gated: Gated) -> None:
    gated.open("apply", "revert")
    registry.activate(Settings())
    gated.meanwhile = lambda: registry.activate(Settings()) if gated.calls == ["apply", "revert"] else None
    registry.deactivate()

    assert (gated.value, state(registry), gated.calls) == ("patched", "applied", ["apply", "revert", "apply"])


def test_an_application_that_is_interrupted_is_failed_and_tried_again(registry: Registry, gated: Gated) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    gated.open("apply", "revert")
    gated.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt):
        registry.activate(Settings())
    assert state(registry) == "failed"

    gated.meanwhile = lambda: None
    registry.activate(Settings())
    assert (gated.value, state(registry)) == ("patched", "applied")


TARGET = """
class Model:
    @classmethod
    def make(cls):
        return "stock"
    def method(self):
        return "stock"
def function():
    return "stock"
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"hammered_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(TARGET)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def called(module: ModuleType) -> list[str]:
    return [module.function(), module.Model().method(), module.Model.make()]


def patches(target: str) -> MethodPatches:
    def patched(stock: Callable[..., str], *args: Any) -> str:
        assert stock(*args) == "stock"
        return "patched"

    def make(stock: Any) -> Any:
        return classmethod(around(patched)(stock.__func__))

    return MethodPatches(
        MethodPatch(target, "function", around(patched)),
        MethodPatch(f"{target}:Model", "method", around(patched)),
        MethodPatch(f"{target}:Model", "make", make),
    )


@pytest.mark.filterwarnings("ignore:.*left as they are")  # a reload between activate and deactivate
@pytest.mark.parametrize("seed", range(2))
def test_eight_threads_switch_import_call_and_reload(target: str, seed: int, background: Background) -> None:
    registry = Registry([Given("example", target, "", patches(target))])
    start = threading.Barrier(8)
    interval = sys.getswitchinterval()

    def act(number: int) -> None:
        chance = random.Random(8 * seed + number)
        start.wait(_PATIENCE)
        for _ in range(150):
            action = chance.choice(["activate", "deactivate", "import", "call", "reload", "status"])
            if action == "activate":
                registry.activate(Settings())
            elif action == "deactivate":
                registry.deactivate()
            elif action == "status":
                assert state(registry) in ("inactive", "pending", "applied", "replaced")
            else:
                module = importlib.import_module(target)
                if action == "reload":
                    importlib.reload(module)
                assert set(called(module)) <= {"stock", "patched"}

    sys.setswitchinterval(1e-5)
    try:
        for thread in [background(lambda number=number: act(number)) for number in range(8)]:  # type: ignore[misc]
            thread.join(3 * _PATIENCE)
    finally:
        sys.setswitchinterval(interval)

    module = importlib.import_module(target)
    registry.activate(Settings())
    assert (called(module), state(registry)) == (["patched"] * 3, "applied")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody has put anything on top of these
        registry.deactivate()
    assert (called(module), state(registry)) == (["stock"] * 3, "inactive")
