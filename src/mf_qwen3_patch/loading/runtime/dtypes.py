"""The dtypes that a model gets: the checkpoint's, unless somebody says otherwise or the device cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

DeviceKind = Literal["CPU", "Ascend", "Ascend 310P"]
"""Devices by the dtypes that they compute in."""

_SUPPORTED = ("float32", "float16", "bfloat16")
_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "half": "float16", "float": "float32"}

# Parameters become another dtype if nobody has asked for one.
_AUTOMATIC: dict[DeviceKind, dict[str, str]] = {
    "CPU": {"bfloat16": "float32"},
    "Ascend": {},
    "Ascend 310P": {"bfloat16": "float16", "float32": "float16"},
}
_WHY = {
    "CPU": "for which MindSpore has no CPU kernels",
    "Ascend 310P": "for which an Ascend 310P has no attention kernels",
}


@dataclass(frozen=True)
class DtypeChoice:
    """Config values for MindFormers, and why they are what they are.

    Attributes:
        values: ``params_dtype``, ``compute_dtype`` and ``rotary_dtype``, by MindFormers' names.
        note: A sentence for the log if the choice differs from the checkpoint's dtype, else empty.
    """

    values: dict[str, str]
    note: str = ""


def dtype_name(dtype: Any) -> str:
    """Return the plain name of a dtype.

    Args:
        dtype: A name (``"bfloat16"``, ``"bf16"``) or a MindSpore, torch or numpy dtype.

    Raises:
        ValueError: It is none that Qwen3's parameters can have.
    """
    name = getattr(dtype, "__name__", None) if isinstance(dtype, type) else str(dtype)
    name = str(name).rsplit(".", maxsplit=1)[-1].lower()
    name = _SHORT.get(name, name)
    if name not in _SUPPORTED:
        raise ValueError(f"dtype must be one of {', '.join(_SUPPORTED)} or 'auto', not {dtype!r}")
    return name


def choose_dtypes(
    checkpoint_dtype: str, requested: Any, given: Mapping[str, Any], *, device: DeviceKind
) -> DtypeChoice:
    """Choose the dtypes of parameters and computation.

    Stock takes float32 parameters and bfloat16 computation whatever the checkpoint says, which makes
    56 GB of a 14B model. Here parameters have the checkpoint's dtype and computation follows them, but:

    * on the CPU MindSpore has no bfloat16 kernels, so that bfloat16 becomes float32 there, and
      computation is in float32;
    * an Ascend 310P has no bfloat16 either, and its attention kernels take float16 only: everything becomes float16;
    * elsewhere float32 parameters are computed with in bfloat16, as stock does: the attention kernels
      know no float32.

    Args:
        checkpoint_dtype: What the checkpoint is in.
        requested: The ``torch_dtype=``/``dtype=`` keyword: None, "auto", a name or a dtype.
        given: Config values given explicitly; ``params_dtype``, ``compute_dtype`` and ``rotary_dtype`` win.
        device: What computes.

    Raises:
        ValueError: An unknown dtype was asked for, or one that the device does not have.
    """
    automatic = requested is None or requested == "auto"
    if checkpoint_dtype == "float64":  # which no Qwen3 parameter can have
        checkpoint_dtype = "float32"
    parameters = dtype_name(checkpoint_dtype if automatic else requested)
    note = ""
    if given.get("params_dtype") is not None:
        parameters = dtype_name(given["params_dtype"])
    elif automatic and (becomes := _AUTOMATIC[device].get(parameters)):
        note = f"the checkpoint is {parameters}, {_WHY[device]}: parameters become {becomes}"
        parameters = becomes
    compute = {"CPU": "float32", "Ascend 310P": "float16"}.get(device, _followed(parameters))
    if given.get("compute_dtype") is not None:
        compute = dtype_name(given["compute_dtype"])
    rotary = dtype_name(given["rotary_dtype"]) if given.get("rotary_dtype") is not None else compute
    values = {"params_dtype": parameters, "compute_dtype": compute, "rotary_dtype": rotary}
    _refuse_what_has_no_kernels(values, device)
    return DtypeChoice(values, note)


def _followed(parameters: str) -> str:
    return "bfloat16" if parameters == "float32" else parameters


def _refuse_what_has_no_kernels(values: Mapping[str, str], device: DeviceKind) -> None:
    if device == "Ascend 310P" and "bfloat16" in values.values():
        asked = ", ".join(f"{name}={value}" for name, value in values.items() if value == "bfloat16")
        raise ValueError(
            f"{asked} can't be done on this Ascend 310P, which has no bfloat16: its attention kernels take float16 "
            "only; leave the dtype out, or ask for float16"
        )
    if device != "CPU" and values["compute_dtype"] == "float32":
        raise ValueError(
            "compute_dtype=float32 can't be done on Ascend: rotary embedding and attention have no float32 kernels "
            "there; leave it out, or ask for bfloat16 (float16 on a 310P)"
        )
