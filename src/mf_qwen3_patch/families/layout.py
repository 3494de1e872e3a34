"""How MindFormers lays the parts of a merged parameter out, and how its files say which way.

Query, key and value become one matrix, gate and up another, in one of two layouts whose names and shapes are
the same. Both follow one rule: each part is cut into the same number of blocks of rows, and the blocks of the
same number lie together. In the inference layout there is one block (Q|K|V, gate|up). In the training
layout attention has a block for each key/value head, with the queries that share it, and the MLP one for each row.

The experts of a mixture have one block in both. Their matrices are transposed, and follow each other in one parameter:
the inference layout has an axis for the expert, the training layout has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mf_qwen3_patch.families.tensors import ModelDims

Layout: TypeAlias = Literal["inference", "training"]
Shape: TypeAlias = tuple[int, ...]
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


@dataclass(frozen=True)
class Merging:
    """How the HuggingFace matrices that become one parameter lie in it.

    Attributes:
        blocks: Into how many blocks of rows each part is cut; it divides the number of rows of all.
        experts: Whether the parameter holds a matrix for each expert, transposed, one after the other.
        flat: Whether these are the rows of one matrix; otherwise they have an axis for the expert.
    """

    blocks: int = 1
    experts: bool = False
    flat: bool = False

    def merge(self, parts: Sequence[Array]) -> Array:
        """Merge the parts of one matrix.

        Args:
            parts: ``[rows, columns]`` each, in the order of the parameter; a single one may have any axes.

        Returns:
            ``[all rows, columns]``, of an expert ``[columns, all rows]``; contiguous.
        """
        matrix = parts[0]
        if len(parts) > 1:
            columns = matrix.shape[1]
            cut = [part.reshape(self.blocks, -1, columns) for part in parts]
            matrix = np.concatenate(cut, axis=1).reshape(-1, columns)
        return np.ascontiguousarray(matrix.T if self.experts else matrix)

    def split(self, matrix: Array, rows: Sequence[int]) -> list[Array]:
        """Take one matrix apart; the inverse of ``merge``.

        Args:
            matrix: As ``merge`` returns it.
            rows: Of each part, in order.
        """
        whole = matrix.T if self.experts else matrix
        if len(rows) == 1:
            return [np.ascontiguousarray(whole)]
        columns = whole.shape[1]
        heights = [count // self.blocks for count in rows]
        cut = whole.reshape(self.blocks, -1, columns)
        return [
            np.ascontiguousarray(cut[:, end - height : end]).reshape(-1, columns)
            for height, end in zip(heights, accumulate(heights), strict=True)
        ]

    def matrix_shape(self, parts: Sequence[Shape]) -> Shape:
        """Return the shape of what ``merge`` makes of parts of these shapes."""
        shape = (sum(part[0] for part in parts), *parts[0][1:])
        return shape[::-1] if self.experts else shape

    def parameter_shape(self, matrix: Shape, matrices: int) -> Shape:
        """Return the shape of the parameter that holds ``matrices`` matrices of this shape."""
        if not self.experts:
            return matrix
        return (matrices * matrix[0], *matrix[1:]) if self.flat else (matrices, *matrix)


def merging_of(element: str | None, layout: Layout, shape: ModelDims, *, experts: bool = False) -> Merging:
    """Return how the parts of a parameter are merged.

    Args:
        element: Its path element if it is merged, e.g. ``linear_qkv``; None if it is one tensor.
        layout: The layout.
        shape: Of the model.
        experts: Whether it holds the matrices of all experts.
    """
    if experts:
        return Merging(experts=True, flat=layout == TRAINING)
    if element is None or layout == INFERENCE:
        return Merging()
    return Merging(int(getattr(shape, _TRAINING_BLOCKS[element])))
