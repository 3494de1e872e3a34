"""Attention on the CPU: causal prefill, the paged key/value cache, and decoding from it.

All tensors are in MindFormers' flattened "TH" layout: the tokens of all sequences one after the
other, ``[tokens, heads * head_dim]``. Scores and softmax are computed in float32.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from mindspore import Tensor

_Array: TypeAlias = np.ndarray[Any, Any]


def _attend(query: _Array, key: _Array, value: _Array, first_position: int, scale: float) -> _Array:
    """Causal attention of one sequence, in float32: ``[q_len, heads, head_dim]``.

    The queries' positions begin at ``first_position``, those of the keys, ``[kv_len, kv_heads, head_dim]``, at 0.
    """
    group = query.shape[1] // key.shape[1]
    key = np.repeat(key, group, axis=1)
    value = np.repeat(value, group, axis=1)
    scores = np.einsum("qhd,khd->hqk", query, key) * np.float32(scale)
    visible = np.arange(key.shape[0])[None, :] <= first_position + np.arange(query.shape[0])[:, None]
    scores = np.where(visible[None], scores, -np.inf)
    scores -= scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores)
    weights /= weights.sum(axis=-1, keepdims=True)
    attended: _Array = np.einsum("hqk,khd->qhd", weights, value)
    return attended


def _lengths(tensor: Any) -> list[int]:
    return [int(length) for length in np.asarray(tensor.asnumpy() if isinstance(tensor, Tensor) else tensor).ravel()]


class FlashAttentionScore:
    """Stands in for the prefill kernel of the same name; ``head_num`` counts the query heads on this rank.

    The kernel's options (dropout, tuning, sparse modes) are ignored: attention is always causal.
    """

    def __init__(
        self, head_num: int, *, scale_value: float = 1.0, input_layout: str = "TH", **kernel_options: Any
    ) -> None:
        if input_layout != "TH":
            raise NotImplementedError(f"the CPU stand-in knows input_layout='TH', not {input_layout!r}")
        self._heads = head_num
        self._scale = scale_value

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        real_shift: Any = None,
        drop_mask: Any = None,
        padding_mask: Any = None,
        attn_mask: Any = None,
        prefix: Any = None,
        actual_seq_qlen: Any = None,
        actual_seq_kvlen: Any = None,
    ) -> tuple[None, None, None, Tensor]:
        """Attend within each sequence; ``actual_seq_qlen``, ``[batch]``, has the tokens of each.

        Returns the kernel's four results, of which MindFormers uses the last: ``[tokens, heads * head_dim]``.
        """
        q = query.asnumpy()
        head_dim = q.shape[-1] // self._heads
        k, v = (x.asnumpy().astype(np.float32).reshape(q.shape[0], -1, head_dim) for x in (key, value))
        out = np.empty((q.shape[0], self._heads, head_dim), np.float32)
        heads = q.astype(np.float32).reshape(out.shape)
        start = 0
        for length in _lengths(actual_seq_qlen):
            tokens = slice(start, start + length)
            out[tokens] = _attend(heads[tokens], k[tokens], v[tokens], 0, self._scale)
            start += length
        return None, None, None, Tensor.from_numpy(out.reshape(q.shape).astype(q.dtype))


class ReshapeAndCache:
    """Stands in for the kernel that writes new keys and values into the paged cache, in place."""

    def __call__(
        self, key: Tensor, value: Tensor, key_cache: Tensor, value_cache: Tensor, slot_mapping: Tensor
    ) -> None:
        """Write one row per token, ``[tokens, kv_heads * head_dim]``, into the caches.

        They are ``[num_blocks, block_size, kv_heads, head_dim]``. A slot is block * block_size + offset, or negative
        for padding.
        """
        slots = slot_mapping.asnumpy().ravel()
        used = slots >= 0
        for new, cache in ((key, key_cache), (value, value_cache)):
            # On the CPU asnumpy() is the tensor's own memory, so this writes into the cache.
            memory = cache.asnumpy()
            rows = memory.reshape(-1, *memory.shape[2:])
            rows[slots[used]] = new.asnumpy().reshape(-1, *memory.shape[2:])[used]


class PagedAttention:
    """Stands in for the decoding kernel of the same name; the numbers of heads are those on this rank."""

    def __init__(self, head_num: int, scale_value: float, kv_head_num: int, mla_v_dim: int = 0) -> None:
        if mla_v_dim:
            raise NotImplementedError("the CPU stand-in knows no multi-latent attention")
        self._heads = head_num
        self._kv_heads = kv_head_num
        self._scale = scale_value

    def __call__(
        self,
        query: Tensor,
        key_cache: Tensor,
        value_cache: Tensor,
        block_tables: Tensor,
        context_lens: Tensor,
        antiquant_scale: Any = None,
        antiquant_offset: Any = None,
        attn_mask: Any = None,
        q_seq_lens: Any = None,
    ) -> Tensor:
        """Attend to what the cache holds of each sequence; returns ``[tokens, heads * head_dim]``.

        ``query`` has the last tokens of each sequence, as many as ``q_seq_lens``, ``[batch]``, says, or one each. The
        caches are ``[num_blocks, block_size, kv_heads, head_dim]``; ``block_tables``, ``[batch, max_blocks]``, has the
        blocks of each sequence in order, ``context_lens``, ``[batch]``, its tokens in the cache, the current ones
        included.
        """
        q = query.asnumpy()
        heads = q.astype(np.float32).reshape(q.shape[0], self._heads, -1)
        keys, values, tables = key_cache.asnumpy(), value_cache.asnumpy(), block_tables.asnumpy()
        context = _lengths(context_lens)
        counts = _lengths(q_seq_lens) if q_seq_lens is not None else [1] * len(context)
        block_size = keys.shape[1]
        out = np.empty_like(heads)
        start = 0
        for row, (length, count) in enumerate(zip(context, counts, strict=True)):
            blocks = tables[row, : -(-length // block_size)]
            k, v = (
                cache[blocks].reshape(-1, self._kv_heads, heads.shape[-1])[:length].astype(np.float32)
                for cache in (keys, values)
            )
            tokens = slice(start, start + count)
            out[tokens] = _attend(heads[tokens], k, v, length - count, self._scale)
            start += count
        return Tensor.from_numpy(out.reshape(q.shape).astype(q.dtype))
