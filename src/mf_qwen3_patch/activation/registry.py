"""The list of patches, and the machinery that applies and reverts them.

A patch is data: a name, the module whose import makes it possible, and what describes it: an object under
``mf_qwen3_patch.patches`` with four methods:

* ``supports() -> str | None``: None, or the reason why the patch must step aside here;
* ``apply() -> None`` and ``revert() -> list[str]``, which mirror each other, but for what somebody else has changed
  since: it stays, and is returned; ``lost() -> list[str]``: the attributes that hold nothing of the patch any more.

It is imported only by the post-import hook of its target, so that activating the shim imports neither MindSpore nor
MindFormers. A MindFormers release that the patches were not made for is recognized before (see ``unsupported``): they
could not even be imported there.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import wrapt

from mf_qwen3_patch import _log
from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.activation.upstream import unsupported
from mf_qwen3_patch.errors import ActivationError, PatchWarning
from mf_qwen3_patch.settings import Settings


@dataclass(frozen=True)
class Patch:
    """One change to somebody else's module."""

    name: str  # in ``status()`` and ``MF_QWEN3_PATCH_DISABLE``
    target: str  # the module whose import triggers it
    implementation: str  # ``module:NAME``

    def load(self) -> Any:
        """Import the implementation."""
        module, _, name = self.implementation.partition(":")
        return getattr(importlib.import_module(module), name)

    def step_aside_reason(self) -> str | None:
        """Return why it must not be applied to what is installed, None if it can be; not while it is applied."""
        reason: str | None = unsupported() if self.target == "mindformers" else None
        return reason or self.load().supports()


State: TypeAlias = Literal["inactive", "pending", "applied", "skipped", "failed", "replaced"]


@dataclass(frozen=True)
class PatchStatus:
    """The state of one patch.

    Attributes:
        name: The patch.
        target: The module that it waits for or changed.
        state: ``pending`` means that its target is not imported yet; ``replaced`` that it was applied, and something
            else is there now, as after ``importlib.reload``.
        reason: Why it was skipped or failed, or what was replaced, else the empty string.
    """

    name: str
    target: str
    state: State
    reason: str = ""


# The targets are packages, not the modules that hold what is patched: a hook on one of those fires while the rest of
# its package is half imported, and whatever the patch needs might not be there yet.
PATCHES: tuple[Patch, ...] = tuple(
    Patch(name, target, f"mf_qwen3_patch.patches.{module}:{name.upper()}")
    for target, module, names in (
        ("mindspore", "load_checkpoint", ["load_checkpoint"]),
        ("mindformers", "conversion", ["convert_weight_dict", "convert_safetensors"]),
        ("mindformers", "load_weights", ["load_weights"]),
        ("mindformers", "save_pretrained", ["save_pretrained"]),
        ("mindformers", "generation", ["eager_prefill", "decode_mask", "prompt_length"]),
        ("mindformers", "logits", ["logits"]),
        ("mindformers", "evaluation", ["evaluation"]),
        ("mindformers", "from_pretrained", ["from_pretrained", "auto_model", "auto_config", "auto_tokenizer"]),
        ("mindformers", "model_config", ["model_config"]),
        ("mindformers", "build_tokenizer", ["build_tokenizer"]),
        ("mindformers", "launcher", ["launcher"]),
        ("mindformers", "finetune", ["finetune"]),
    )
    for name in names
)


class Registry:
    """Applies each patch once its target is imported; reverts them all.

    Every method may be called from any thread, and what was asked for last holds. A patch is applied or reverted by one
    thread at a time. The lock guards the states only: no foreign module is imported and no patch applied while it is
    held, since the import system has locks of its own.
    """

    def __init__(self, patches: Iterable[Patch] = PATCHES) -> None:
        self._patches = tuple(patches)
        self._status = {patch.name: PatchStatus(patch.name, patch.target, "inactive") for patch in self._patches}
        self._changed = threading.Condition()
        self._busy: dict[str, tuple[str, int]] = {}  # what is being done to a patch, by which thread
        self._kept: list[str] = []  # what was left, for the next warning
        self._hooked: set[str] = set()
        self._warned: set[str] = set()
        self._settings: Settings | None = None  # while active

    def status(self) -> tuple[PatchStatus, ...]:
        """Return what became of each patch."""
        with self._changed:
            return tuple(self._seen(patch) for patch in self._patches)

    def activate(self, settings: Settings) -> None:
        """Arm every patch; apply at once those whose target is already imported.

        Raises ActivationError if a patch failed and ``settings.strict`` is set.
        """
        with self._changed:
            self._settings = settings
            self._kept.clear()
            for patch in self._patches:
                if self._status[patch.name].state == "failed":
                    self._set(patch, "inactive")  # another attempt
        if unknown := ", ".join(sorted(settings.disabled.difference(self._status))):
            valid = ", ".join(sorted(self._status))
            self._warn_once(f"MF_QWEN3_PATCH_DISABLE names no such patch: {unknown}; the patches are: {valid}")
        for patch in self._patches:
            with _nobody_importing(patch.target):  # as in a hook: whoever applies a patch has its target's lock
                self._hook(patch)
                self._settle(patch)

    def deactivate(self) -> None:
        """Disarm every patch and restore every original, in reverse order.

        What somebody else has put in a patch's place stays, and is named in a warning. Raises ActivationError if a
        patch could not be reverted; all others are.
        """
        failures: list[str] = []
        with self._changed:
            self._settings = None
        for patch in reversed(self._patches):
            try:
                self._settle(patch, to_end=True)
            except ActivationError as error:
                failures.append(str(error.args[0]))
        with self._changed:
            kept, self._kept = self._kept, []
        if kept:
            warn(
                f"left as they are, because something else is there now: {', '.join(kept)}; a patch that is still "
                "inside it passes every call through to stock",
                PatchWarning,
            )
        if failures:
            raise ActivationError("could not be reverted: " + "; ".join(failures))

    def _hook(self, patch: Patch) -> None:
        with self._changed:
            if patch.name in self._hooked:
                return
            self._hooked.add(patch.name)
        # wrapt offers no way to take a hook back: a hook that fires after deactivate() finds the
        # patch inactive and does nothing.
        wrapt.register_post_import_hook(lambda module: self._settle(patch), patch.target)

    def _settle(self, patch: Patch, *, to_end: bool = False) -> None:
        """Bring one patch to what was asked for last; if this is inside such work, when that is done.

        Only who holds no module's lock may wait ``to_end`` of an application, which may need that module.
        """
        me = threading.get_ident()
        with self._changed:
            # A revert waits for nobody.
            while (work := self._busy.get(patch.name, ("", me)))[1] != me and (
                work[0] == "revert" or (to_end and self._settings is None)
            ):
                self._changed.wait()
            settings, state = self._settings, self._status[patch.name].state
            if patch.name in self._busy:
                return
            if settings is None:
                if state != "applied":
                    self._set(patch, "inactive")
                    return
            elif state == "inactive" and patch.name in settings.disabled:
                self._set(patch, "skipped", "left out by MF_QWEN3_PATCH_DISABLE")
                return
            else:
                if state == "inactive":
                    self._set(patch, "pending")
                if self._seen(patch).state not in ("pending", "replaced") or patch.target not in sys.modules:
                    return
            self._busy[patch.name] = ("revert" if settings is None else "apply", me)
        try:
            if settings is None:
                self._revert(patch)
            else:
                self._apply(patch, settings)
        finally:
            if (self._settings is None) != (settings is None):
                self._settle(patch)

    def _apply(self, patch: Patch, settings: Settings) -> None:
        state: State = "failed"
        reason, cause = "interrupted", None
        try:
            step_aside = patch.step_aside_reason()
            if step_aside is None:
                patch.load().apply()
            state, reason = ("applied", "") if step_aside is None else ("skipped", step_aside)
        except Exception as error:  # noqa: BLE001 - the host's import must survive whatever upstream changed
            reason, cause = f"{type(error).__name__}: {error}", error
        finally:
            self._done(patch, state, reason)
        if state == "failed":
            message = f"mf_qwen3_patch: {patch.name} not applied to {patch.target}: {reason}"
            if settings.strict:
                raise ActivationError(message) from cause
            warn(message, PatchWarning)
        elif state == "skipped":  # one reason may concern several patches
            self._warn_once(f"mf_qwen3_patch stepped aside: {reason}")
        elif state == "applied":
            _log.debug("applied %s to %s", patch.name, patch.target)
        self._log_when_done()

    def _log_when_done(self) -> None:
        """Say once, when every patch has come to its end, how many are applied."""
        states = [one.state for one in self.status()]
        if not {"inactive", "pending"} & set(states):
            others = [f"{states.count(state)} {state}" for state in ("skipped", "failed") if state in states]
            also = f" ({', '.join(others)})" if others else ""
            _log.info("%d patches applied%s; `mf-qwen3 status` lists them", states.count("applied"), also)

    def _revert(self, patch: Patch) -> None:
        state: State = "failed"
        reason = "not reverted: interrupted"
        try:
            self._kept += patch.load().revert()
            state, reason = "inactive", ""
        except Exception as error:
            reason = f"not reverted: {error}"
            raise ActivationError(f"{patch.name}: {error}") from error
        finally:
            self._done(patch, state, reason)

    def _done(self, patch: Patch, state: State, reason: str) -> None:
        with self._changed:
            del self._busy[patch.name]
            self._set(patch, state, reason)
            self._changed.notify_all()

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn(message, PatchWarning)

    def _seen(self, patch: Patch) -> PatchStatus:
        """Return a patch's state, compared with what its attributes hold now."""
        status = self._status[patch.name]
        if status.state == "applied" and patch.name not in self._busy and (lost := patch.load().lost()):
            reason = f"reloaded (activate() patches it again), or somebody else's is there now: {', '.join(lost)}"
            return replace(status, state="replaced", reason=reason)
        return status

    def _set(self, patch: Patch, state: State, reason: str = "") -> None:
        self._status[patch.name] = PatchStatus(patch.name, patch.target, state, reason)


# One per process, and here, so that reloading mf_qwen3_patch itself goes on with the patches that it finds applied.
REGISTRY = Registry()


@contextmanager
def _nobody_importing(module_name: str) -> Iterator[None]:
    """Hold the import system's lock of one module.

    Another thread may be half-way through importing it: it has looked for hooks already, but the module
    is not in ``sys.modules`` yet, or not complete. A hook registered at that moment would never fire.
    Python has no public name for this lock; without it, or in a deadlock, that one race remains.
    """
    manager = getattr(importlib._bootstrap, "_ModuleLockManager", nullcontext)
    with ExitStack() as stack:
        with suppress(RuntimeError):  # _DeadlockError is one
            stack.enter_context(manager(module_name))
        yield
