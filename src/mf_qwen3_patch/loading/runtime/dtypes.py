"""Which dtypes the model gets: the checkpoint's, unless somebody says otherwise or the device cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SUPPORTED = ("float32", "float16", "bfloat16")
_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "half": "float16", "float": "float32"}


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


def choose_dtypes(checkpoint_dtype: str, requested: Any, given: Mapping[str, Any], *, cpu: bool) -> DtypeChoice:
    """Choose the dtypes of parameters and computation.

    Stock takes float32 parameters and bfloat16 computation whatever the checkpoint says, which makes
    56 GB of a 14B model. Here parameters have the checkpoint's dtype and computation follows them, but:

    * on the CPU MindSpore has no bfloat16 kernels, so that bfloat16 becomes float32 there, and
      computation is in float32;
    * elsewhere float32 parameters are computed with in bfloat16, as stock does: the attention kernels
      know no float32.

    Args:
        checkpoint_dtype: What the checkpoint is in.
        requested: The ``torch_dtype=``/``dtype=`` keyword: None, "auto", a name or a dtype.
        given: Config values given explicitly; ``params_dtype``, ``compute_dtype`` and ``rotary_dtype`` win.
        cpu: Whether the device is the CPU.

    Raises:
        ValueError: An unknown dtype was asked for.
    """
    automatic = requested is None or requested == "auto"
    if checkpoint_dtype == "float64":  # which no Qwen3 parameter can have
        checkpoint_dtype = "float32"
    parameters = dtype_name(checkpoint_dtype if automatic else requested)
    note = ""
    if given.get("params_dtype") is not None:
        parameters = dtype_name(given["params_dtype"])
    elif cpu and automatic and parameters == "bfloat16":
        parameters = "float32"
        note = "the checkpoint is bfloat16, for which MindSpore has no CPU kernels: parameters become float32"
    compute = "float32" if cpu else ("bfloat16" if parameters == "float32" else parameters)
    if given.get("compute_dtype") is not None:
        compute = dtype_name(given["compute_dtype"])
    rotary = dtype_name(given["rotary_dtype"]) if given.get("rotary_dtype") is not None else compute
    return DtypeChoice({"params_dtype": parameters, "compute_dtype": compute, "rotary_dtype": rotary}, note)
