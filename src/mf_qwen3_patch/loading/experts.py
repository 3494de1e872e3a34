"""How many experts of which size a weight dict holds: what the conversion of a mixture of experts has to be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mf_qwen3_patch.families.family import Family


@dataclass(frozen=True)
class Experts:
    """The experts in a weight dict; all zero if it has none.

    The router says how many there are or, without one (``from_router``), the names imply it. ``names`` are those of
    the experts' weights, by MindFormers' names of their parts; ``missing`` are the ones that layers with any lack.
    """

    layers: int = 0
    experts: int = 0
    hidden_size: int = 0
    ffn_size: int = 0
    from_router: bool = False
    names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def find_experts(shapes: Mapping[str, tuple[int, ...]], family: Family) -> Experts:
    """Find the experts in shapes by MindFormers' names, experts' parts not merged yet."""
    parts = {part: fused for fused in family.fused if fused.stacked for part in fused.parts}
    if not parts:
        return Experts()
    name = re.compile(
        rf"(decoder\.layers\.([0-9]+)\.mlp\.)(?:(experts\.)([0-9]+)\.({'|'.join(parts)})|{family.router})\.weight"
    )
    matches = {found[0]: found for found in map(name.fullmatch, shapes) if found is not None}
    names = tuple(key for key, match in matches.items() if match[3] is not None)
    routers = [shapes[key][0] for key, match in matches.items() if match[3] is None]
    if not names:
        return Experts(experts=max(routers, default=0), from_router=bool(routers))
    layers = {int(matches[key][2]): matches[key][1] + matches[key][3] for key in names}
    numbers = {int(matches[key][4]) for key in names}
    experts = max([*routers, *(number + 1 for number in numbers)])
    first = shapes[names[0]]
    # Down is [hidden, ffn], alone in its stack; gate and up are [ffn, hidden].
    hidden, ffn = first if len(parts[matches[names[0]][5]].parts) == 1 else first[::-1]
    wanted = [
        f"{prefix}{number}.{part}.weight"
        for _, prefix in sorted(layers.items())
        # Where most are missing, some of their names are enough.
        for number in range(min(experts, 2 * len(numbers) + 1))
        for part in parts
    ]
    missing = tuple(key for key in wanted if key not in shapes)
    return Experts(max(layers) + 1, experts, hidden, ffn, bool(routers), names, missing)
