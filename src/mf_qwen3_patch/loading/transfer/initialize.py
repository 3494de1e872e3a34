"""What a parameter starts with if its tensors are of another size and left out: transformers' rule for Qwen3."""

from __future__ import annotations

import mindspore
import numpy as np

from mf_qwen3_patch.loading.transfer.cast import TARGET_DTYPES, Array, cast_like_numpy
from mf_qwen3_patch.loading.transfer.plan import ParameterPlan


def new_values(entry: ParameterPlan, initializer_range: float) -> Array:
    """Return ones for a norm, else values from a normal distribution around 0.

    Args:
        entry: The parameter, in its shape and dtype.
        initializer_range: The distribution's standard deviation, config.json's. The seed is MindSpore's, if one is set.
    """
    if len(entry.shape) == 1:
        values = np.ones(entry.shape, np.float32)
    else:
        values = np.random.default_rng(mindspore.get_seed()).standard_normal(entry.shape, np.float32)
        values *= np.float32(initializer_range)
    return cast_like_numpy(values, TARGET_DTYPES[entry.dtype])
