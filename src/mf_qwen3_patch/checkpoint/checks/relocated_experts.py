"""Experts that a training has moved to other places, which the names and shapes of the parameters do not show."""

from __future__ import annotations

import numpy as np

from mf_qwen3_patch._display import short_repr
from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.checkpoint.files.safetensors_header import TensorInfo
from mf_qwen3_patch.errors import Problem, UnsupportedCheckpoint

_MAPPING = "expert_mapping"
_DTYPES = {"I32": "<i4", "I64": "<i8"}


def relocated_experts(checkpoint: Checkpoint) -> Problem | None:
    """Return what is wrong if MindFormers' dynamic relocation has permuted the experts of a layer.

    ``expert_mapping`` says at which place the matrices of each expert are; the router goes by it, while a HuggingFace
    directory and the inference network have them in the router's own order.
    """
    for name, tensor in checkpoint.tensors.items():
        if name.rsplit(".", 1)[-1] == _MAPPING and (places := _read(checkpoint, tensor)) != list(range(len(places))):
            summary = f"{name} says that the experts of this layer were relocated: they are in another order"
            advice = (
                "save the checkpoint where MindFormers restores the order, or train without enable_expert_relocation"
            )
            where = {"file": tensor.file.name, "parameter": name, "expected": f"0 to {len(places) - 1}, in order"}
            return Problem(UnsupportedCheckpoint, summary, **where, found=short_repr(places), advice=advice)
    return None


def _read(checkpoint: Checkpoint, tensor: TensorInfo) -> list[int]:
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        return []
    values: list[int] = np.frombuffer(checkpoint.file(tensor.file).read(tensor.offset, tensor.nbytes), dtype).tolist()
    return values
