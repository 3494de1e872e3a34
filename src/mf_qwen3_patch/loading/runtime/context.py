"""The MindFormers context that inference needs, for scripts that have not built one.

Process-wide state decides which Qwen3 stock builds: RUN_MODE picks the training or the inference class, ``use_legacy``
the code path of ``generate``. A bare script has set neither.
"""

from __future__ import annotations

import os
from typing import Any

import mindspore
from mindformers.core.context.build_context import Context, MFContextOperator, is_legacy_model
from mindformers.version_control import is_310p

from mf_qwen3_patch import cpu_kernels
from mf_qwen3_patch.checkpoint.checks.parallelism import Parallelism
from mf_qwen3_patch.loading.runtime.dtypes import DeviceKind
from mf_qwen3_patch.loading.runtime.log import say
from mf_qwen3_patch.loading.runtime.parallel import grouped_ranks, groups_exist, launched_ranks
from mindformers import build_context

_GRAPH_MODE, _PYNATIVE_MODE = 0, 1
_NO_LIMIT_GB = 1024  # MindSpore's default


def device_kind() -> DeviceKind:
    """Return the kind of device that this process computes on, as far as dtypes depend on it."""
    if mindspore.get_context("device_target") == "CPU":
        return "CPU"
    return "Ascend 310P" if is_310p() else "Ascend"


def say_if_generate_will_fail() -> None:
    """Say how to switch the CPU stand-ins on, where the model is on a CPU and they are off."""
    if device_kind() == "CPU" and not cpu_kernels.is_enabled():
        say(
            "generate() will fail on this CPU, as MindFormers' inference kernels are for Ascend only (`TypeError: For "
            "primitive[ApplyRotaryPosEmb]`); before the model is built, set MF_QWEN3_PATCH_CPU=1 or call "
            "mf_qwen3_patch.enable_cpu_kernels()"
        )


def context_exists() -> bool:
    """Return whether somebody has built a MindFormers context: a whole one, or (as serving engines do) a part."""
    return bool(Context.is_exists()) or MFContextOperator.get_mf_ctx_instance() is not None


def parallelism() -> Parallelism:
    """Return how many ranks share the model: as groups or context say or, without either, all that were started."""
    return grouped_ranks() if context_exists() or groups_exist() else Parallelism(launched_ranks())


def memory_limit() -> int | None:
    """Return the bytes that MindSpore may take of the device; None if nobody has set a limit."""
    limit = float(mindspore.get_context("max_device_memory"))
    return None if limit >= _NO_LIMIT_GB else int(limit * (1 << 30))


def ensure_inference_context() -> None:
    """Make sure that stock builds and runs the inference model: RUN_MODE=predict, not legacy.

    Of a context that the script has built only what contradicts that is changed, with a line in the log. Without one,
    and without groups of MindFormers, all processes that were started share the model as tensor-parallel ranks.
    """
    if not context_exists():
        _build_context(parallelism())
    if is_legacy_model():
        MFContextOperator.get_mf_ctx_instance().set_context(use_legacy=False)
        say("set use_legacy=False in the MindFormers context: Qwen3 has no legacy model")
    if os.environ.get("RUN_MODE") != "predict":
        os.environ["RUN_MODE"] = "predict"
        say("set RUN_MODE=predict")


def join_other_ranks() -> None:
    """Join the processes that ``msrun`` started, if nobody has built a context: what follows they do together."""
    if not context_exists() and parallelism().ranks > 1:
        ensure_inference_context()


def _build_context(shared: Parallelism) -> None:
    meets = shared.ranks > 1 and not groups_exist()  # else the ranks have met already, and have their groups
    settings = _device_settings(meets)
    config = {
        "use_legacy": False,
        "run_mode": "predict",
        "context": settings,
        "use_parallel": meets,
        "parallel": {"parallel_mode": "MANUAL_PARALLEL", "full_batch": False} if meets else {},
        "parallel_config": {"model_parallel": shared.tensor, "data_parallel": shared.data},
    }
    try:
        build_context(config)
    except BaseException:
        # Singletons that are entered before they are complete: the next call would take them for a context.
        Context.reset_instance()
        MFContextOperator.reset_instance()
        raise
    shown = ", ".join(f"{name}={value}" for name, value in settings.items())
    built = "built a MindFormers context: run_mode=predict, use_legacy=False, %s, tensor parallel over %d rank(s)"
    say(built, shown, shared.tensor)


def _device_settings(meets: bool) -> dict[str, Any]:
    """Return MindSpore's settings for the context: what the script has chosen, where stock would fill in its own.

    Ranks that the context lets meet get their devices then.
    """
    target = mindspore.get_context("device_target")
    if target == "CPU":
        return {"device_target": target, "mode": _PYNATIVE_MODE}
    chosen = mindspore.context._context()
    # Eager is also MindSpore's default, but not one for inference: it counts if a call has set it.
    eager = mindspore.get_context("mode") == _PYNATIVE_MODE and bool(chosen._context_switches.context_stack)
    settings = {"device_target": target, "mode": _PYNATIVE_MODE if eager else _GRAPH_MODE}
    if "precision_mode" not in chosen.ascend_config:
        # As in the predict_qwen3.yaml of MindFormers, whose max_device_memory of 59 GB is an error on a smaller card.
        settings["ascend_config"] = {"precision_mode": "must_keep_origin_dtype"}
    # MindSpore refuses another value for either of the following once it was read: it is handed back as it is.
    settings["max_device_memory"] = f"{mindspore.get_context('max_device_memory'):g}GB"
    if not meets:
        settings["device_id"] = mindspore.get_context("device_id")
    return settings
