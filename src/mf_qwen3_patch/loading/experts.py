"""How many experts of which size a weight dict holds: what the conversion of a mixture of experts has to be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"decoder\.layers\.([0-9]+)\.mlp\.(?:experts\.([0-9]+)\.(gating|hidden|linear_fc2)|router)\.weight")


@dataclass(frozen=True)
class Experts:
    """The experts in a weight dict; all zero if it has none.

    Attributes:
        layers: Number of layers, as the names imply.
        experts: Number of experts: as a router says or, without one, as the names imply.
        hidden_size: Of the model.
        ffn_size: Of one expert.
        from_router: Whether a router has told ``experts``.
        names: The experts' weights, by MindFormers' names of their parts.
        missing: Those that are missing in the layers that have any.
    """

    layers: int = 0
    experts: int = 0
    hidden_size: int = 0
    ffn_size: int = 0
    from_router: bool = False
    names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def find_experts(shapes: Mapping[str, tuple[int, ...]]) -> Experts:
    """Find the experts.

    Args:
        shapes: By MindFormers' names, experts' parts not merged yet.
    """
    matches = {name: match for name in shapes if (match := _NAME.fullmatch(name))}
    names = tuple(name for name, match in matches.items() if match[2] is not None)
    routers = [shapes[name][0] for name, match in matches.items() if match[2] is None]
    if not names:
        return Experts(experts=max(routers, default=0), from_router=bool(routers))
    layers = {int(matches[name][1]) for name in names}
    numbers = {int(matches[name][2]) for name in names}
    experts = max([*routers, *(number + 1 for number in numbers)])
    first = shapes[names[0]]
    hidden, ffn = first if matches[names[0]][3] == "linear_fc2" else first[::-1]
    wanted = [
        f"decoder.layers.{layer}.mlp.experts.{number}.{part}.weight"
        for layer in sorted(layers)
        # Where most are missing, some of their names are enough.
        for number in range(min(experts, 2 * len(numbers) + 1))
        for part in ("gating", "hidden", "linear_fc2")
    ]
    missing = tuple(name for name in wanted if name not in shapes)
    return Experts(max(layers) + 1, experts, hidden, ffn, bool(routers), names, missing)
