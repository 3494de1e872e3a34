"""Assigning loaded memory to a network's Parameters: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mindspore import Parameter, Tensor

from mf_qwen3_patch.loading.transfer.cast import Array


@contextmanager
def assigned(parameters: Mapping[str, Parameter], arrays: Mapping[str, Array]) -> Iterator[None]:
    """Make ``arrays`` the data of ``parameters``, without a copy, and keep it so if what follows succeeds.

    The Parameters stay the same objects, with their names and attributes. If anything goes wrong in the body or
    before, Ctrl-C included, each of them gets back what it had. The arrays, of the Parameters' shapes and dtypes,
    become the Parameters' memory: do not write to them afterwards.
    """
    # What can fail by itself comes before the first change.
    tensors = {name: Tensor.from_numpy(array) for name, array in arrays.items()}
    before: list[_State] = []
    try:
        for name, tensor in tensors.items():
            parameter = parameters[name]
            before.append(_State(parameter))
            parameter.set_data(tensor, slice_shape=parameter.sliced)
            # set_data leaves it, and clone(), pickle and save would then take the parameter for empty.
            parameter.init_mode = None
        yield
    except BaseException:
        for state in before:
            state.restore()
        raise


class _State:
    """The former content of a Parameter, without a copy of it."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self._lazy = bool(parameter.has_init)
        self._init: Any = parameter.init
        self._init_mode: Any = parameter.init_mode
        self._sliced: Any = parameter.sliced
        # A Tensor made from a Parameter shares its memory, and keeps it when the Parameter gets another.
        self._data = None if self._lazy else Tensor(parameter)

    def restore(self) -> None:
        if self._data is not None:
            self._parameter.set_data(self._data)
        self._parameter.init = self._init
        self._parameter.init_mode = self._init_mode
        self._parameter.sliced = self._sliced
