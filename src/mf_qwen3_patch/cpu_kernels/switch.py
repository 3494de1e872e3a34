"""Putting the stand-ins in place, and taking them out again.

A kernel is replaced in one module only, and only on the CPU.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import ModuleType
from typing import Any, TypeAlias

import wrapt

from mf_qwen3_patch.errors import ActivationError

_Names: TypeAlias = "Mapping[str, str | _Names]"

_INFERENCE = "mindformers.parallel_core.inference"
_ROPE = f"{_INFERENCE}.base_models.common.embeddings"
_ROTARY: _Names = {"ops": {"ApplyRotaryPosEmb": "attention"}}
_REDUCTIONS: _Names = {"mint": {"cumsum": "elementary", "argmax": "elementary"}}

# For each module that is changed, the module here that has the stand-in of a name or of names in a namespace; after a
# dot, the function that wraps what stock has under the name.
_TARGETS: dict[str, _Names] = {
    f"{_ROPE}.rotary_pos_embedding": _ROTARY,
    f"{_ROPE}.yarn_rotary_pos_embedding": _ROTARY,
    f"{_INFERENCE}.transformer.flash_attention": {
        "ops": {"auto_generate": {"ReshapeAndCache": "attention", "PagedAttention": "attention"}},
        "FlashAttentionScore": "attention",
    },
    f"{_INFERENCE}.transformer.norm": {"P": {"RmsNorm": "elementary"}},
    f"{_INFERENCE}.base_models.gpt.gpt_model": _REDUCTIONS,
    f"{_INFERENCE}.parallel_state": {"ProcessGroup.__init__": "collectives.spanning_world"},
    f"{_INFERENCE}.tensor_parallel.layers": {"all_reduce": "collectives"},
    f"{_INFERENCE}.tensor_parallel.grouped_layers": {"ops": {"auto_generate": {"GroupedMatmulV4": "moe"}}},
    f"{_INFERENCE}.transformer.moe.moe_utils": {"mint": {"topk": "moe"}},
    f"{_INFERENCE}.transformer.moe.token_dispatcher": {
        "mint": {"index_select": "moe"},
        "MoeInitRoutingV2": "moe",
        "MoeTokenUnpermute": "moe",
    },
    "mindformers.core.context.build_context": {"MSContextOperator._handle_data": "context.of_context"},
    "mindformers.generation.text_generator": _REDUCTIONS,
    "mindformers.generation.logits_process": {**_REDUCTIONS, "run_using_numpy": "elementary"},
    "mindformers.tools.register.template": {"ConfigTemplate.apply_template": "context.of_yaml"},
}

_lock = threading.RLock()
_enabled = False
_hooked = False
# Of each module that is changed: owner, name, original and what took its place.
_originals: dict[ModuleType, list[tuple[Any, str, Any, Any]]] = {}


def enable() -> None:
    """Let MindFormers' inference network run on the CPU. See the package's docstring.

    May be called before or after mindformers is imported, before the model is built, and more than once.
    On the CPU it also sets ``ENFORCE_EAGER=true``, unless that is set already: the stand-ins cannot be
    compiled into a graph.

    Raises:
        ActivationError: MindSpore is imported and its device target is not the CPU.
    """
    global _enabled, _hooked
    mindspore = sys.modules.get("mindspore")
    if mindspore is not None and (device := mindspore.get_context("device_target")) != "CPU":
        raise ActivationError(
            f"the CPU kernels are never active on {device}; for a CPU run call "
            "mindspore.set_context(device_target='CPU') first"
        )
    with _lock:
        _enabled = True
        first, _hooked = not _hooked, True
    changes: dict[str, Callable[[ModuleType], None]] = {"mindspore": _enforce_eager}
    changes.update((target, functools.partial(_apply, names)) for target, names in _TARGETS.items())
    for target, change in changes.items():
        if target in sys.modules:
            change(sys.modules[target])
        elif first:
            wrapt.register_post_import_hook(change, target)


def disable() -> None:
    """Take the stand-ins out again; models built with them keep them, and what others put on top of one stays."""
    global _enabled
    with _lock:
        _enabled = False
        while _originals:
            _, changed = _originals.popitem()
            for owner, name, original, replacement in reversed(changed):
                if vars(owner).get(name) is replacement:
                    setattr(owner, name, original)


def is_enabled() -> bool:
    """Return whether the stand-ins are in place, or will be once mindformers is imported."""
    return _enabled


def _enforce_eager(mindspore: ModuleType) -> None:
    if _enabled and mindspore.get_context("device_target") == "CPU":
        os.environ.setdefault("ENFORCE_EAGER", "true")


def _apply(names: _Names, module: ModuleType) -> None:
    with _lock:
        if not _enabled or module in _originals:
            return
        replacements = {path: _replacement(attrgetter(path)(module), path, where) for path, where in names.items()}
        changed = _originals[module] = []
        for path, replacement in replacements.items():
            *owners, name = path.split(".")
            owner = functools.reduce(getattr, owners, module)
            changed.append((owner, name, vars(owner)[name], replacement))
            setattr(owner, name, replacement)


def _replacement(real: Any, name: str, where: str | _Names) -> Any:
    """Return what takes the place of ``real``, which a module knows by that name."""
    if isinstance(where, str):
        module, _, wrapper = where.partition(".")
        return _stand_in(module, wrapper)(real) if wrapper else _choose_by_device(_stand_in(module, name), real)
    inner = {
        key: _stand_in(place, key) if isinstance(place, str) else _replacement(getattr(real, key), key, place)
        for key, place in where.items()
    }
    return _Overlay(real, inner)


def _stand_in(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"mf_qwen3_patch.cpu_kernels.{module}"), name)


class _Overlay:
    """A namespace that answers like ``module``, but for the names given while the device target is the CPU.

    A MindFormers module that uses ``ops.ApplyRotaryPosEmb`` is given an overlay in place of its own name ``ops``;
    nobody else's ``ops`` changes.
    """

    def __init__(self, module: Any, replacements: Mapping[str, Any]) -> None:
        self._module = module
        self._replacements = replacements

    def __getattr__(self, name: str) -> Any:
        if name in self._replacements and (isinstance(self._replacements[name], _Overlay) or _on_cpu()):
            return self._replacements[name]
        return getattr(self._module, name)


def _choose_by_device(stand_in: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a factory that makes ``stand_in`` on the CPU and ``real`` elsewhere."""
    return lambda *args, **kwargs: (stand_in if _on_cpu() else real)(*args, **kwargs)


def _on_cpu() -> bool:
    import mindspore

    if mindspore.get_context("device_target") != "CPU":
        return False
    _launch_one_by_one()
    return True


@functools.cache
def _launch_one_by_one() -> None:
    """Have MindSpore wait for each operation, from now on in this process.

    A stand-in reads its arguments back, and waiting for MindSpore's pipeline of threads takes several
    times as long as the operations of a small model.
    """
    import mindspore

    mindspore.runtime.launch_blocking()
