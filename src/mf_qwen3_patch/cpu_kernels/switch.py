"""Putting the stand-ins in place, and taking them out again."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt

from mf_qwen3_patch.errors import ActivationError

_INFERENCE = "mindformers.parallel_core.inference"
_ROPE = f"{_INFERENCE}.base_models.common.embeddings"

_lock = threading.RLock()
_enabled = False
_hooked = False
_changed: list[ModuleType] = []
_originals: list[tuple[Any, str, Any]] = []


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
    if mindspore is not None:
        _enforce_eager(mindspore)
    elif first:
        wrapt.register_post_import_hook(_enforce_eager, "mindspore")
    for target, overlay in _TARGETS.items():
        if target in sys.modules:
            _apply(sys.modules[target], overlay)
        elif first:
            wrapt.register_post_import_hook(_hook(overlay), target)


def disable() -> None:
    """Take the stand-ins out again; models built with them keep them."""
    global _enabled
    with _lock:
        _enabled = False
        while _originals:
            owner, name, original = _originals.pop()
            setattr(owner, name, original)
        _changed.clear()


def is_enabled() -> bool:
    """Return whether the stand-ins are in place, or will be once mindformers is imported."""
    return _enabled


def _enforce_eager(mindspore: ModuleType) -> None:
    if _enabled and mindspore.get_context("device_target") == "CPU":
        os.environ.setdefault("ENFORCE_EAGER", "true")


def _hook(overlay: Callable[[ModuleType], dict[str, Any]]) -> Callable[[ModuleType], None]:
    return lambda module: _apply(module, overlay)


def _apply(module: ModuleType, overlay: Callable[[ModuleType], dict[str, Any]]) -> None:
    with _lock:
        if not _enabled or any(changed is module for changed in _changed):
            return
        _changed.append(module)
        for path, replacement in overlay(module).items():
            *owners, name = path.split(".")
            owner = functools.reduce(getattr, owners, module)
            _originals.append((owner, name, getattr(owner, name)))
            setattr(owner, name, replacement)


def _stand_in(path: str) -> Any:
    module, name = path.split(".")
    return getattr(importlib.import_module(f"mf_qwen3_patch.cpu_kernels.{module}"), name)


def _rotary(module: ModuleType) -> dict[str, Any]:
    return {"ops": _over(module.ops, ApplyRotaryPosEmb="rotary.ApplyRotaryPosEmb")}


def _flash_attention(module: ModuleType) -> dict[str, Any]:
    from mf_qwen3_patch.cpu_kernels.overlay import Overlay, choose_by_device

    kernels = _over(
        module.ops.auto_generate, ReshapeAndCache="attention.ReshapeAndCache", PagedAttention="attention.PagedAttention"
    )
    return {
        "ops": Overlay(module.ops, auto_generate=kernels),
        "FlashAttentionScore": choose_by_device(_stand_in("attention.FlashAttentionScore"), module.FlashAttentionScore),
    }


def _norm(module: ModuleType) -> dict[str, Any]:
    return {"P": _over(module.P, RmsNorm="elementary.RmsNorm")}


def _reductions(module: ModuleType) -> dict[str, Any]:
    return {"mint": _over(module.mint, cumsum="elementary.cumsum", argmax="elementary.argmax")}


def _sampling(module: ModuleType) -> dict[str, Any]:
    from mf_qwen3_patch.cpu_kernels.overlay import choose_by_device

    in_numpy = choose_by_device(_stand_in("elementary.run_using_numpy"), module.run_using_numpy)
    return {**_reductions(module), "run_using_numpy": in_numpy}


def _process_groups(module: ModuleType) -> dict[str, Any]:
    spanning_world = _stand_in("collectives.spanning_world")
    return {"ProcessGroup.__init__": spanning_world(module.ProcessGroup.__init__)}


def _row_parallel(module: ModuleType) -> dict[str, Any]:
    from mf_qwen3_patch.cpu_kernels.overlay import choose_by_device

    return {"all_reduce": choose_by_device(_stand_in("collectives.all_reduce"), module.all_reduce)}


def _routing(module: ModuleType) -> dict[str, Any]:
    return {"mint": _over(module.mint, topk="moe.topk")}


def _dispatching(module: ModuleType) -> dict[str, Any]:
    from mf_qwen3_patch.cpu_kernels.overlay import choose_by_device

    kernels = {
        name: choose_by_device(_stand_in(f"moe.{name}"), getattr(module, name))
        for name in ("MoeInitRoutingV2", "MoeTokenUnpermute")
    }
    return {"mint": _over(module.mint, index_select="moe.index_select"), **kernels}


def _grouped_linear(module: ModuleType) -> dict[str, Any]:
    from mf_qwen3_patch.cpu_kernels.overlay import Overlay

    kernels = _over(module.ops.auto_generate, GroupedMatmulV4="moe.GroupedMatmulV4")
    return {"ops": Overlay(module.ops, auto_generate=kernels)}


def _over(namespace: Any, **paths: str) -> Any:
    from mf_qwen3_patch.cpu_kernels.overlay import Overlay

    return Overlay(namespace, **{name: _stand_in(path) for name, path in paths.items()})


_TARGETS: dict[str, Callable[[ModuleType], dict[str, Any]]] = {
    f"{_ROPE}.rotary_pos_embedding": _rotary,
    f"{_ROPE}.yarn_rotary_pos_embedding": _rotary,
    f"{_INFERENCE}.transformer.flash_attention": _flash_attention,
    f"{_INFERENCE}.transformer.norm": _norm,
    f"{_INFERENCE}.base_models.gpt.gpt_model": _reductions,
    f"{_INFERENCE}.parallel_state": _process_groups,
    f"{_INFERENCE}.tensor_parallel.layers": _row_parallel,
    f"{_INFERENCE}.tensor_parallel.grouped_layers": _grouped_linear,
    f"{_INFERENCE}.transformer.moe.moe_utils": _routing,
    f"{_INFERENCE}.transformer.moe.token_dispatcher": _dispatching,
    "mindformers.generation.text_generator": _reductions,
    "mindformers.generation.logits_process": _sampling,
}
