"""A mixture of experts on the CPU: choosing experts, sorting tokens by expert, multiplying, putting them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import Tensor


# The names of the arguments are those of mindspore.mint.
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """Return the ``k`` largest values along ``dim`` and their indices (int64), the first of equals first."""
    array = input.asnumpy()
    wide = array.astype(np.float32)
    order = np.argsort(-wide if largest else wide, axis=dim, kind="stable")
    index = np.take(order, np.arange(k), axis=dim)
    values = np.take_along_axis(array, index, axis=dim)
    return Tensor.from_numpy(np.ascontiguousarray(values)), Tensor.from_numpy(np.ascontiguousarray(index, np.int64))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the slices of ``input`` at ``index`` along ``dim``."""
    return Tensor.from_numpy(np.ascontiguousarray(np.take(input.asnumpy(), index.asnumpy(), axis=dim)))


class MoeInitRoutingV2:
    """Stands in for the kernel that copies each token once for each of its experts and sorts the copies by expert."""

    def __call__(
        self,
        x: Tensor,
        expert_idx: Tensor,
        active_num: int = 0,
        expert_capacity: int = 0,
        expert_num: int = 0,
        drop_pad_mode: int = 0,
        expert_tokens_count_or_cumsum_flag: int = 0,
        expert_tokens_before_capacity_flag: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        """Sort ``x``, ``[tokens, hidden_size]``, by ``expert_idx``, ``[tokens, k]`` int32; no token is dropped.

        The other arguments must say so, and that the third result counts each expert's rows. Returns the copies,
        ``[tokens * k, hidden_size]``; for each of ``expert_idx``, flattened, its row among them (int32); rows of each
        expert, ``[expert_num]`` int32; and what MindFormers does not use.
        """
        if active_num or expert_capacity or drop_pad_mode or expert_tokens_count_or_cumsum_flag != 2:
            raise NotImplementedError("the CPU stand-in for MoeInitRoutingV2 drops no tokens, and it counts")
        experts = expert_idx.asnumpy()
        order = np.argsort(experts.ravel(), kind="stable")
        row_of = np.empty(order.size, np.int32)
        row_of[order] = np.arange(order.size, dtype=np.int32)
        copies = x.asnumpy()[order // experts.shape[1]]
        counts = np.bincount(experts.ravel(), minlength=expert_num).astype(np.int32)
        return Tensor.from_numpy(copies), Tensor.from_numpy(row_of), Tensor.from_numpy(counts), None


class MoeTokenUnpermute:
    """Stands in for the kernel that adds what a token's experts made of it, each with its weight."""

    def __call__(
        self,
        permuted_tokens: Tensor,
        sorted_indices: Tensor,
        probs: Tensor | None = None,
        padded_mode: bool = False,
        restore_shape: Sequence[int] | None = None,
    ) -> Tensor:
        """Add ``permuted_tokens``, ``[tokens * k, hidden_size]``, weighted by ``probs``, ``[tokens, k]``, in float32.

        ``sorted_indices``, ``[tokens * k]``, has the row of each token's each expert. Returns ``[tokens,
        hidden_size]`` in the dtype of ``permuted_tokens``.
        """
        if padded_mode or restore_shape is not None or probs is None:
            raise NotImplementedError("the CPU stand-in for MoeTokenUnpermute knows weighted, unpadded tokens only")
        rows = permuted_tokens.asnumpy()
        weights = probs.asnumpy().astype(np.float32)
        chosen = rows[sorted_indices.asnumpy()].astype(np.float32).reshape(*weights.shape, rows.shape[-1])
        return Tensor.from_numpy(np.einsum("tk,tkh->th", weights, chosen).astype(rows.dtype))


class GroupedMatmulV4:
    """Stands in for the kernel that multiplies each expert's rows with the expert's own matrix."""

    def __call__(
        self,
        x: Sequence[Tensor],
        weight: Sequence[Tensor],
        *unused: Any,
        split_item: int = 0,
        group_type: int = -1,
        group_list_type: int = 0,
        **more: Any,
    ) -> tuple[Tensor]:
        """Multiply ``x``, ``[rows, in]`` sorted by expert, with ``weight``, ``[experts, in, out]``; one tensor each.

        The last of ``unused`` is ``group_list``, ``[experts]``: how many rows each expert has; bias, scales and
        offsets must be None. Groups must be of rows and counted, with one result. Returns ``[rows, out]``, in the
        dtype of ``x``.
        """
        *quantization, group_list = unused
        known = (split_item, group_type, group_list_type) == (3, 0, 1) and len(x) == len(weight) == 1
        if not known or more or any(value is not None for value in quantization):
            raise NotImplementedError("the CPU stand-in for GroupedMatmulV4 knows one unquantized group of rows only")
        rows, matrices = x[0].asnumpy(), weight[0].asnumpy()
        out = np.zeros((rows.shape[0], matrices.shape[2]), rows.dtype)
        start = 0
        for expert, count in enumerate(group_list.asnumpy().tolist()):
            if count:
                group = slice(start, start + count)
                out[group] = rows[group].astype(np.float32) @ matrices[expert].astype(np.float32)
                start += count
        return (Tensor.from_numpy(out),)
