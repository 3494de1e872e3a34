"""The list of patches, and the machinery that applies and reverts them.

A patch is data: a name, the module whose import makes it possible, and the module under
``mf_qwen3_patch.patches`` that describes it. That module has a ``PATCH`` with three methods:

* ``supports() -> str | None``: None, or the reason why the patch must step aside here;
* ``apply() -> None`` and ``revert() -> None``, which mirror each other.

It is imported only by the post-import hook of its target, so that activating the shim imports
neither MindSpore nor MindFormers. A release that the patches of its target were not made for, a
probe finds out before: their modules could not even be imported there.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType

import wrapt

from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.errors import ActivationError, PatchWarning
from mf_qwen3_patch.ranks import is_first_rank
from mf_qwen3_patch.settings import Settings


@dataclass(frozen=True)
class Patch:
    """One change to somebody else's module.

    Attributes:
        name: What ``status()`` and ``MF_QWEN3_PATCH_DISABLE`` call it.
        target: The module whose import triggers it.
        implementation: The module that has the ``PATCH``.
        probe: The module whose ``unsupported() -> str | None`` says why this release of the target is not
            one that can be patched; empty if every release can.
    """

    name: str
    target: str
    implementation: str
    probe: str = ""


@dataclass(frozen=True)
class PatchStatus:
    """The state of one patch.

    Attributes:
        name: The patch.
        target: The module that it waits for or changed.
        state: ``inactive``, ``pending`` (its target is not imported yet), ``applied``, ``skipped`` or ``failed``.
        reason: Why it was skipped or failed, else the empty string.
    """

    name: str
    target: str
    state: str
    reason: str = ""


_PROBES = {"mindformers": "mf_qwen3_patch.activation.release"}


def _patch(name: str, target: str) -> Patch:
    return Patch(name, target, f"mf_qwen3_patch.patches.{name}", _PROBES.get(target, ""))


# The packages, not the modules that hold the target: a hook on one of those fires while the rest of its
# package is half imported, and whatever the patch needs might not be there yet.
PATCHES: tuple[Patch, ...] = (
    _patch("load_checkpoint", "mindspore"),
    _patch("convert_weight_dict", "mindformers"),
    _patch("convert_safetensors", "mindformers"),
    _patch("load_weights", "mindformers"),
    _patch("save_pretrained", "mindformers"),
    _patch("eager_prefill", "mindformers"),
    _patch("decode_mask", "mindformers"),
    _patch("prompt_length", "mindformers"),
    _patch("from_pretrained", "mindformers"),
    _patch("auto_model", "mindformers"),
    _patch("auto_config", "mindformers"),
    _patch("auto_tokenizer", "mindformers"),
    _patch("model_config", "mindformers"),
)


class Registry:
    """Applies each patch once its target is imported; reverts them all.

    Every method may be called from any thread. The lock guards the states only: no foreign module
    is imported and no patch applied while it is held, since the import system has locks of its own.

    Args:
        patches: The patches, in the order in which ``status`` lists them.
    """

    def __init__(self, patches: Iterable[Patch] = PATCHES) -> None:
        self._patches = {patch.name: patch for patch in patches}
        self._status = {
            patch.name: PatchStatus(patch.name, patch.target, "inactive") for patch in self._patches.values()
        }
        self._changed = threading.Condition()
        self._busy: set[str] = set()
        self._hooked: set[str] = set()
        self._warned: set[str] = set()
        self._active = False
        self._strict = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all patches."""
        return tuple(self._patches)

    @property
    def active(self) -> bool:
        """Whether patches are applied as their targets are imported."""
        return self._active

    def status(self) -> tuple[PatchStatus, ...]:
        """Return what became of each patch."""
        with self._changed:
            return tuple(self._status[name] for name in self._patches)

    def activate(self, settings: Settings) -> None:
        """Arm every patch; apply at once those whose target is already imported.

        Args:
            settings: Which patches to leave out, and whether a failure raises.

        Raises:
            ActivationError: With ``settings.strict``, a patch failed.
        """
        with self._changed:
            self._active = True
            self._strict = settings.strict
            for patch in self._patches.values():
                if self._status[patch.name].state not in ("inactive", "failed"):
                    continue
                if patch.name in settings.disabled:
                    self._set(patch, "skipped", "left out by MF_QWEN3_PATCH_DISABLE")
                else:
                    self._set(patch, "pending")
        for patch in self._patches.values():
            with _nobody_importing(patch.target):
                self._hook(patch)
            if patch.target in sys.modules:
                self._apply(patch)

    def deactivate(self) -> None:
        """Disarm every patch and restore every original, in reverse order.

        Raises:
            ActivationError: A patch could not be reverted; all others are.
        """
        failures: list[str] = []
        with self._changed:
            self._active = False
        for patch in reversed(self._patches.values()):
            with self._changed:
                self._changed.wait_for(functools.partial(self._is_idle, patch))
                applied = self._status[patch.name].state == "applied"
                self._set(patch, "inactive")
            if not applied:
                continue
            try:
                importlib.import_module(patch.implementation).PATCH.revert()
            except Exception as error:  # noqa: BLE001 - the others must be reverted all the same
                self._set(patch, "failed", f"not reverted: {error}")
                failures.append(f"{patch.name}: {error}")
        if failures:
            raise ActivationError("could not be reverted: " + "; ".join(failures))

    def _is_idle(self, patch: Patch) -> bool:
        return patch.name not in self._busy

    def _hook(self, patch: Patch) -> None:
        with self._changed:
            if patch.name in self._hooked:
                return
            self._hooked.add(patch.name)
        # wrapt offers no way to take a hook back: a hook that fires after deactivate() finds the
        # patch inactive and does nothing.
        hook: Callable[[ModuleType], None] = lambda module: self._apply(patch)  # noqa: E731
        wrapt.register_post_import_hook(hook, patch.target)

    def _apply(self, patch: Patch) -> None:
        with self._changed:
            if not self._active or self._status[patch.name].state != "pending" or patch.name in self._busy:
                return
            self._busy.add(patch.name)
            strict = self._strict
        state, reason, cause = "applied", "", None
        try:
            step_aside = step_aside_reason(patch)
            if step_aside is None:
                importlib.import_module(patch.implementation).PATCH.apply()
            else:
                state, reason = "skipped", step_aside
        except Exception as error:  # noqa: BLE001 - the host's import must survive whatever upstream changed
            state, reason, cause = "failed", f"{type(error).__name__}: {error}", error
        finally:
            with self._changed:
                self._busy.discard(patch.name)
                self._set(patch, state, reason)
                self._changed.notify_all()
        if state == "failed":
            message = f"mf_qwen3_patch: {patch.name} not applied to {patch.target}: {reason}"
            if strict:
                raise ActivationError(message) from cause
            warn(message, PatchWarning)
        elif state == "skipped":
            self._warn_stepped_aside(reason)
        else:
            _log_applied(patch)

    def _warn_stepped_aside(self, reason: str) -> None:
        """Warn once of what may concern several patches."""
        with self._changed:
            if reason in self._warned:
                return
            self._warned.add(reason)
        warn(f"mf_qwen3_patch stepped aside: {reason}", PatchWarning)

    def _set(self, patch: Patch, state: str, reason: str = "") -> None:
        self._status[patch.name] = PatchStatus(patch.name, patch.target, state, reason)


def step_aside_reason(patch: Patch) -> str | None:
    """Return why a patch must not be applied to what is installed, None if it can be.

    Args:
        patch: Not applied; its target is imported.
    """
    if patch.probe:
        unsupported: str | None = importlib.import_module(patch.probe).unsupported()
        if unsupported is not None:
            return unsupported
    reason: str | None = importlib.import_module(patch.implementation).PATCH.supports()
    return reason


# One per process, and here, so that reloading mf_qwen3_patch itself goes on with the patches that it finds applied.
REGISTRY = Registry()


@contextmanager
def _nobody_importing(module_name: str) -> Iterator[None]:
    """Hold the import system's lock of one module.

    Another thread may be half-way through importing it: it has looked for hooks already, but the module
    is not in ``sys.modules`` yet, or not complete. A hook registered at that moment would never fire.
    Python has no public name for this lock; without it, or in a deadlock, that one race remains.
    """
    manager = getattr(importlib._bootstrap, "_ModuleLockManager", None)
    with ExitStack() as stack:
        if manager is not None:
            with suppress(RuntimeError):  # _DeadlockError is one
                stack.enter_context(manager(module_name))
        yield


def _log_applied(patch: Patch) -> None:
    """Write one INFO line through MindFormers' own logger, once it exists."""
    module = sys.modules.get("mindformers.tools.logger")
    # Our own log module may be what is being imported at this moment.
    if module is not None and is_first_rank():
        module.logger.info("mf_qwen3_patch: applied %s to %s", patch.name, patch.target)
