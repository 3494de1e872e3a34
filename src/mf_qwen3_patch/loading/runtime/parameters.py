"""Between numpy arrays and MindSpore Parameters, bfloat16 included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor
from mindspore.common import np_dtype


def to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """Return a Parameter, Tensor or array as a numpy array that shares its memory where possible.

    The dtype stays; bfloat16, MindSpore's or ml_dtypes', is MindSpore's numpy dtype.
    """
    array = value.asnumpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.name == "bfloat16" and array.dtype != np_dtype.bfloat16:
        array = array.view(np.uint16).view(np_dtype.bfloat16)
    return array


def to_parameter(value: Any, name: str) -> Parameter:
    """Return a Parameter of that name, ``requires_grad=False``, with the memory of ``value`` where that is possible."""
    # MindSpore refuses read-only and misaligned memory.
    array = np.require(to_numpy(value), requirements=["C", "A", "W"])
    return Parameter(Tensor.from_numpy(array), name=name, requires_grad=False)


def named_parameters(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Make each weight of a loaded dict a Parameter named by its key, in place if it is one; strings are no weights."""
    result: dict[str, Any] = {}
    for name, value in loaded.items():
        if isinstance(value, Parameter):
            value.name = name
            value.requires_grad = False
        elif not isinstance(value, str):
            value = to_parameter(value, name)
        result[name] = value
    return result
