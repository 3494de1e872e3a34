"""Assigning loaded memory to a network's Parameters: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
    with ExitStack() as undo:
        for name, tensor in tensors.items():
            parameter = parameters[name]
            # A Tensor made from a Parameter shares its memory, and keeps it when the Parameter gets another.
            data = None if parameter.has_init else Tensor(parameter)
            undo.callback(_restore, parameter, data, parameter.init, parameter.init_mode, parameter.sliced)
            parameter.set_data(tensor, slice_shape=parameter.sliced)
            # set_data leaves it, and clone(), pickle and save would then take the parameter for empty.
            parameter.init_mode = None
        yield
        undo.pop_all()


def _restore(parameter: Parameter, data: Tensor | None, init: Any, init_mode: Any, sliced: Any) -> None:
    if data is not None:
        parameter.set_data(data)
    parameter.init, parameter.init_mode, parameter.sliced = init, init_mode, sliced
