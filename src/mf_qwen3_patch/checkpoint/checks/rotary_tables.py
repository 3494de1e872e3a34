"""The tables of the rotary embedding, which a config alone makes as large as it likes.

MindFormers (1.7.0 to 2.0.0, ``parallel_core/inference/base_models/common/embeddings``) computes cosine and sine of
every position when it builds a network, whatever ``seq_length`` says, and every rank has them whole:
``[positions, head_dim]`` in ``rotary_dtype``. With yarn the positions are ``original_max_position_embeddings`` times
``factor``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mf_qwen3_patch.checkpoint.config.problem import field_problem
from mf_qwen3_patch.errors import ConfigMismatch, Problem

# Measured on the CPU for 1 and 2 million positions of 128: 20 to 22 bytes an element, of float16 and float32 tables
# alike. MindSpore's pool keeps angles, their copy, and both functions of them in float32 and after the cast.
_PEAK_BYTES_PER_ELEMENT = 22
_TABLES = 2  # cosine and sine

LARGEST_DEVICE = 1 << 40
"""Bytes that no device has more of: MindSpore's own default of ``max_device_memory``, which stands for no limit."""


@dataclass(frozen=True, slots=True)
class RotaryTables:
    """The tables of one network: how many rows of how many elements, and what in the config says so."""

    positions: int
    head_dim: int
    field: str
    said: str  # the field and its value, for a message

    @property
    def peak(self) -> int:
        """Bytes that are taken while they are computed; on the CPU the process keeps them."""
        return self.positions * self.head_dim * _PEAK_BYTES_PER_ELEMENT

    def kept(self, element_bytes: int) -> int:
        """Return the bytes of the tables themselves."""
        return _TABLES * self.positions * self.head_dim * element_bytes

    @property
    def advice(self) -> str:
        """What to do about tables that are too large."""
        if self.field == "rope_scaling":
            return "set rope_scaling to what the model's original config.json has"
        return (
            "set max_position_embeddings to the longest sequence that you need, in config.json or as a keyword of "
            "from_pretrained: a plain rotary embedding computes the same with fewer"
        )


def rotary_tables(values: Mapping[str, Any]) -> RotaryTables:
    """Return the tables that a normalized config asks for."""
    field = "max_position_embeddings"
    positions, head_dim, scaling = values[field], values["head_dim"], values.get("rope_scaling")
    said = f"{field} {positions}"
    if scaling:
        field, original, factor = "rope_scaling", scaling["original_max_position_embeddings"], scaling["factor"]
        positions = math.ceil(original * factor)
        said = f"original_max_position_embeddings {original} x factor {factor:g} in rope_scaling"
    return RotaryTables(positions, head_dim, field, said)


def tables_problem(
    tables: RotaryTables, room: int = LARGEST_DEVICE, place: str = "any device has", source: str = "config.json"
) -> Problem | None:
    """Return the problem of tables that can't be computed, as ``place`` has no more than ``room`` bytes; else None."""
    if tables.peak <= room:
        return None
    summary = (
        f"asks for rotary tables of {tables.positions} positions ({tables.said}); MindFormers computes them when it "
        f"builds the network, which takes {tables.peak / 1e9:.1f} GB, more than {place}"
    )
    expected = f"at most {room // (tables.peak // tables.positions)} positions"
    found = f"{tables.positions} positions of {tables.head_dim} elements"
    return field_problem(ConfigMismatch, source, tables.field, summary, expected, found, tables.advice)
