"""MindFormers' own loader under our checks, for what ours does not know: quantized layers, 310P, expert parallelism."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore
import numpy as np

from mf_qwen3_patch.errors import LoadNotProven, some
from mf_qwen3_patch.loading.runtime.network import network_parameters
from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, Array


def fresh_memory(model: Any) -> dict[str, Array]:
    """Return new host memory for every parameter of a network, by name.

    MindFormers writes into ``param.asnumpy()``: of a parameter that has moved to a device that is a copy, so that a
    second load would change some parameters and leave others. Memory of the host's own takes what is written.
    """
    memory = {}
    for name, parameter in network_parameters(model).items():
        dtype = TARGET_DTYPES.get(str(parameter.dtype).lower())
        if dtype is None:
            native = mindspore.dtype_to_nptype(parameter.dtype)
            dtype = np.dtype(native)
        memory[name] = np.zeros(tuple(parameter.shape), dtype)
    return memory


def load_with_mindformers(model: Any, files: Sequence[Path]) -> None:
    """Load with MindFormers' ``weight_loader`` methods.

    Unlike ``load_weights(directory)`` this reads the files that belong to the checkpoint, not whatever
    ends in ``.safetensors``, and minds what stock only logs: the parameters that were not loaded.

    Raises:
        LoadNotProven: Parameters of the network were not loaded.
    """
    paths = [str(file) for file in files]
    loaded = model.model.load_weights(
        model._safetensors_weights_iterator(paths), model.generate_mapping(), model.check_hf_weight(weights_files=paths)
    )
    model.process_weights_after_loading(model.model)
    names = network_parameters(model).keys()
    if missing := sorted(names - set(loaded)):
        raise LoadNotProven(
            f"MindFormers' own loader did not load {len(missing)} of {len(names)} parameters: "
            f"{some(missing, 5, ' and {} more')}"
        )
