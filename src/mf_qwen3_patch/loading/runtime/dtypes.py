"""The dtypes that a model gets: the checkpoint's, unless somebody says otherwise or the device cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mf_qwen3_patch._display import short_repr

DeviceKind = Literal["CPU", "Ascend", "Ascend 310P"]

DTYPE_FIELDS = ("params_dtype", "compute_dtype", "rotary_dtype")
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
    """Config values by MindFormers' names, and a sentence for the log if they differ from the checkpoint's dtype."""

    values: dict[str, str]
    note: str = ""


def dtype_name(dtype: Any) -> str:
    """Return the plain name of a dtype, given by a name or as an object; ValueError if Qwen3 can't have it."""
    name = getattr(dtype, "__name__", None) if isinstance(dtype, type) else str(dtype)
    name = str(name).rsplit(".", maxsplit=1)[-1].lower()
    name = _SHORT.get(name, name)
    if name not in _SUPPORTED:
        raise ValueError(f"dtype must be one of {', '.join(_SUPPORTED)} or 'auto', not {short_repr(dtype)}")
    return name


def choose_dtypes(
    checkpoint_dtype: str, requested: Any, given: Mapping[str, Any], *, device: DeviceKind
) -> DtypeChoice:
    """Choose the dtypes of parameters and computation.

    Stock takes float32 parameters and bfloat16 computation whatever the checkpoint says, which makes 56 GB of a 14B
    model. Here parameters have the checkpoint's dtype and computation follows them, but:

    * on the CPU MindSpore has no bfloat16 kernels: it becomes float32, and computation is in float32;
    * an Ascend 310P has no bfloat16 either, and its attention kernels take float16 only: everything becomes float16;
    * elsewhere float32 parameters are computed with in bfloat16, as stock does: the attention kernels know no float32.

    ``requested`` is the ``torch_dtype=`` keyword: None, "auto", a name or a dtype; the three dtypes among the ``given``
    config values win. Raises ValueError for a dtype that is unknown or that the device does not have.
    """
    automatic = requested is None or requested == "auto"
    own = "float32" if checkpoint_dtype == "float64" else checkpoint_dtype  # no Qwen3 parameter can be float64
    parameters = dtype_name(own if automatic else requested)
    asked = {name: dtype_name(given[name]) for name in DTYPE_FIELDS if given.get(name) is not None}
    note = ""
    becomes = _AUTOMATIC[device].get(parameters)
    if automatic and becomes and "params_dtype" not in asked:
        note = f"the checkpoint is {parameters}, {_WHY[device]}: parameters become {becomes}"
        parameters = becomes
    parameters = asked.get("params_dtype", parameters)
    followed = "bfloat16" if parameters == "float32" else parameters
    compute = asked.get("compute_dtype", {"CPU": "float32", "Ascend 310P": "float16"}.get(device, followed))
    values = dict(zip(DTYPE_FIELDS, (parameters, compute, asked.get("rotary_dtype", compute)), strict=True))
    _refuse_without_kernels(values, device)
    return DtypeChoice(values, note)


def _refuse_without_kernels(values: Mapping[str, str], device: DeviceKind) -> None:
    if device == "Ascend 310P" and "bfloat16" in values.values():
        asked = ", ".join(f"{name}={value}" for name, value in values.items() if value == "bfloat16")
        why = "which has no bfloat16: its attention kernels take float16 only"
        raise ValueError(f"{asked} can't be done on this Ascend 310P, {why}; leave the dtype out, or ask for float16")
    if device != "CPU" and values["compute_dtype"] == "float32":
        why = "rotary embedding and attention have no float32 kernels there"
        advice = "leave it out, or ask for bfloat16 (float16 on a 310P)"
        raise ValueError(f"compute_dtype=float32 can't be done on Ascend: {why}; {advice}")
