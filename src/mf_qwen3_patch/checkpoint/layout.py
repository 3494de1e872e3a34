"""How MindFormers lays the parts of a merged parameter out, and how its files say which way.

Query, key and value become one matrix, gate and up another, in one of two layouts whose names and shapes are
the same. Both follow one rule: each part is cut into the same number of blocks of rows, and the blocks of the
same number lie together. In the inference layout there is one block (Q|K|V, gate|up). In the training
layout attention has a block for each key/value head, with the queries that share it, and the MLP one for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.checkpoint.naming import Qwen3Shape

__all__ = [
    "INFERENCE",
    "INFERENCE_LAYOUT",
    "LAYOUT_KEY",
    "RANKS_KEY",
    "RANK_KEY",
    "TRAINING",
    "Layout",
    "blocks_of",
    "layout_metadata",
    "merge_parts",
    "split_parts",
]

Layout: TypeAlias = Literal["inference", "training"]
Array: TypeAlias = npt.NDArray[Any]

INFERENCE: Layout = "inference"
TRAINING: Layout = "training"

LAYOUT_KEY = "mf_qwen3_patch.layout"
"""The key in a safetensors file's metadata whose value is the layout: names and shapes do not tell."""

RANKS_KEY = "mf_qwen3_patch.tensor_parallel"
RANK_KEY = "mf_qwen3_patch.rank"
"""With ``RANKS_KEY``, in the files of one tensor-parallel rank: which one, of how many."""

INFERENCE_LAYOUT: Mapping[str, str] = MappingProxyType({LAYOUT_KEY: INFERENCE})
"""What the metadata of a file in the inference layout hold."""

_TRAINING_BLOCKS: Mapping[str, str] = MappingProxyType(
    {"linear_qkv": "num_key_value_heads", "linear_fc1": "intermediate_size"}
)


def layout_metadata(layout: Layout, *, rank: int = 0, ranks: int = 1) -> dict[str, str]:
    """Return what the metadata of a file say about its layout.

    Args:
        layout: Of the merged parameters.
        rank: Whose slices the file holds.
        ranks: Among how many ranks the parameters are sliced; 1 if they are whole.
    """
    metadata = {LAYOUT_KEY: str(layout)}
    return metadata if ranks == 1 else {**metadata, RANKS_KEY: str(ranks), RANK_KEY: str(rank)}


def blocks_of(element: str, layout: Layout, shape: Qwen3Shape) -> int:
    """Return into how many blocks the parts of a merged parameter are cut.

    Args:
        element: ``linear_qkv`` or ``linear_fc1``.
        layout: The layout.
        shape: Of the model.
    """
    return 1 if layout == INFERENCE else int(getattr(shape, _TRAINING_BLOCKS[element]))


def merge_parts(parts: Sequence[Array], blocks: int) -> Array:
    """Merge parts into one parameter.

    Args:
        parts: ``[rows, columns]`` each, in the order of the parameter; ``blocks`` divides every number of rows.
        blocks: From ``blocks_of``.

    Returns:
        ``[all rows, columns]``, a copy.
    """
    columns = parts[0].shape[1]
    cut = [part.reshape(blocks, -1, columns) for part in parts]
    merged: Array = np.concatenate(cut, axis=1).reshape(-1, columns)
    return merged


def split_parts(merged: Array, rows: Sequence[int], blocks: int) -> list[Array]:
    """Take a merged parameter apart; the inverse of ``merge_parts``.

    Args:
        merged: ``[sum(rows), columns]``.
        rows: Of each part, in order.
        blocks: From ``blocks_of``.
    """
    columns = merged.shape[1]
    heights = [count // blocks for count in rows]
    ends = list(accumulate(heights))
    cut = merged.reshape(blocks, -1, columns)
    return [
        np.ascontiguousarray(cut[:, end - height : end]).reshape(-1, columns)
        for height, end in zip(heights, ends, strict=True)
    ]
