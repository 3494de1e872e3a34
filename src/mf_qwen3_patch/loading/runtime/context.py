"""The MindFormers context that inference needs, for scripts that have not built one.

Stock MindFormers decides by process-wide state which Qwen3 it builds: RUN_MODE picks the training or
the inference class, ``use_legacy`` the code path of ``generate``. A bare script has set neither.
"""

from __future__ import annotations

import os

import mindspore
from mindformers.core.context.build_context import Context, is_legacy_model, set_context
from mindformers.parallel_core.inference.parallel_state import get_tensor_model_parallel_world_size

from mf_qwen3_patch.loading.runtime.log import say
from mindformers import build_context

_GRAPH_MODE, _PYNATIVE_MODE = 0, 1


def is_training_run() -> bool:
    """Return whether RUN_MODE says that this process trains; such calls are stock's business."""
    return os.environ.get("RUN_MODE", "").lower() in ("train", "finetune")


def on_cpu() -> bool:
    """Return whether MindSpore's device target is the CPU."""
    return bool(mindspore.get_context("device_target") == "CPU")


def tensor_parallel_size() -> int:
    """Return how many ranks share the model: as the context says or, without one, all that ``msrun`` started."""
    if Context.is_exists():
        return int(get_tensor_model_parallel_world_size())
    workers = os.environ.get("MS_WORKER_NUM", "")
    return int(workers) if workers.isdigit() and int(workers) > 0 else 1


def ensure_inference_context() -> None:
    """Make sure that stock builds and runs the inference model: RUN_MODE=predict, not legacy.

    A context that the script has built is kept; only what contradicts inference with the current
    (non-legacy) models is changed, and said so in the log. Without one, all processes that ``msrun``
    started share the model as tensor-parallel ranks.
    """
    if not Context.is_exists():
        mode = _PYNATIVE_MODE if on_cpu() else _GRAPH_MODE
        ranks = tensor_parallel_size()
        build_context(
            {
                "use_legacy": False,
                "run_mode": "predict",
                "use_parallel": ranks > 1,
                "context": {"mode": mode, "device_target": mindspore.get_context("device_target")},
                "parallel": {"parallel_mode": "MANUAL_PARALLEL", "full_batch": False} if ranks > 1 else {},
                "parallel_config": {"model_parallel": ranks, "data_parallel": 1},
            }
        )
        say(
            "built a MindFormers context: run_mode=predict, use_legacy=False, mode=%d, tensor parallel over %d rank(s)",
            mode,
            ranks,
        )
    if is_legacy_model():
        set_context(use_legacy=False)
        say("set use_legacy=False in the MindFormers context: Qwen3 has no legacy model")
    if os.environ.get("RUN_MODE") != "predict":
        os.environ["RUN_MODE"] = "predict"
        say("set RUN_MODE=predict")
