"""Names that were bound to a function before it was patched.

``from mindspore import load_checkpoint`` copies the function object: whoever did so before the
patch was applied keeps the old one. MindSpore's and MindFormers' own modules and ``__main__`` are
rebound; every other module is left alone and named in a warning, because rewriting somebody else's
namespace is not ours to do.
"""

from __future__ import annotations

import sys
from types import ModuleType

from mf_qwen3_patch._warn import warn
from mf_qwen3_patch.errors import LatePatchWarning

_OURS_TO_REBIND = ("mindspore", "mindformers")


def rebind(old: object, new: object) -> list[str]:
    """Replace every module-level name bound to ``old`` by ``new``.

    Args:
        old: The object to look for, by identity.
        new: What the name shall be bound to.

    Returns:
        The names rebound, as ``module.name``.

    Warns:
        LatePatchWarning: Modules outside MindSpore, MindFormers and ``__main__`` hold ``old``; they keep it.
    """
    rebound: list[str] = []
    holders: list[str] = []
    for module_name, module in sorted(sys.modules.copy().items()):
        if not isinstance(module, ModuleType) or module_name.startswith("mf_qwen3_patch"):
            continue
        for name, value in list(vars(module).items()):
            if value is not old:
                continue
            if module_name == "__main__" or module_name.split(".")[0] in _OURS_TO_REBIND:
                setattr(module, name, new)
                rebound.append(f"{module_name}.{name}")
            else:
                holders.append(f"{module_name}.{name}")
    if holders:
        warn(
            "imported before the patch was applied or reverted, and still the old function: "
            + ", ".join(holders)
            + ". Import mf_qwen3_patch before them, or import the name again.",
            LatePatchWarning,
        )
    return rebound
