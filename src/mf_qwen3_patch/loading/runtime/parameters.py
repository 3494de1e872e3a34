"""Between numpy arrays and MindSpore Parameters, bfloat16 included."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
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


def to_parameter(value: Any, name: str, *, requires_grad: bool = False) -> Parameter:
    """Return a Parameter of that name, with the memory of ``value`` where that is possible."""
    # MindSpore refuses read-only and misaligned memory.
    array = np.require(to_numpy(value), requirements=["C", "A", "W"])
    return Parameter(Tensor.from_numpy(array), name=name, requires_grad=requires_grad)


def named_parameters(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Make each weight of a loaded dict a Parameter named by its key, in place if it is one; strings are no weights.

    It trains, as stock's does, and a network that it becomes a part of renames it, as it does stock's.
    """
    result: dict[str, Any] = {}
    for name, value in loaded.items():
        if not isinstance(value, (Parameter, str)):
            value = to_parameter(value, name, requires_grad=True)
        if isinstance(value, Parameter):
            value.name = name
            value.__class__ = _renamed_by_networks(value.__class__)
        result[name] = value
    return result


class _LoadedName(str):
    """The key of a weight in a file, until a network has a name for it.

    Stock's loaded Parameters have generated names, which a network replaces by that of its attribute; it knows them by
    their beginning. With the bare key, two files' weights of one key could not be in the same network, or would be
    saved as one.
    """

    __slots__ = ()

    def startswith(self, prefix: Any, *bounds: Any) -> bool:
        return prefix == "Parameter#" or super().startswith(prefix, *bounds)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


@lru_cache
def _renamed_by_networks(cls: type[Any]) -> Any:
    """Return a class of Parameters with a provisional name: with the next name, a Parameter is of ``cls`` again."""

    def rename(parameter: Any, name: str | None) -> None:
        parameter.__class__ = cls
        parameter.name = name

    return type(cls.__name__, (cls,), {"name": property(lambda self: _LoadedName(cls.name.fget(self)), rename)})
