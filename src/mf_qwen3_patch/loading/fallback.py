"""Stock's own loader under our checks, for what ours does not know: quantized layers, 310P, expert parallelism."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mf_qwen3_patch.errors import LoadNotProven
from mf_qwen3_patch.loading.runtime.network import network_parameters


def load_with_stock(model: Any, files: Sequence[Path]) -> float:
    """Load with MindFormers' ``weight_loader`` methods.

    Unlike ``load_weights(directory)`` this reads the files that belong to the checkpoint, not whatever
    ends in ``.safetensors``, and minds what stock only logs: the parameters that were not loaded.

    Args:
        model: The inference network.
        files: The checkpoint's weight files.

    Returns:
        How long it took, in seconds.

    Raises:
        LoadNotProven: Parameters of the network were not loaded.
    """
    started = time.perf_counter()
    paths = [str(file) for file in files]
    loaded = model.model.load_weights(
        model._safetensors_weights_iterator(paths),
        model.generate_mapping(),
        model.check_hf_weight(weights_files=paths),
    )
    model.process_weights_after_loading(model.model)
    names = network_parameters(model).keys()
    if missing := sorted(names - set(loaded)):
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise LoadNotProven(f"MindFormers' own loader did not load {len(missing)} of {len(names)} parameters: {shown}")
    return time.perf_counter() - started
