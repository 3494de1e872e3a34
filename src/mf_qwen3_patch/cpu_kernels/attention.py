"""Attention on the CPU: rotary embedding, causal prefill, the paged key/value cache, and decoding from it.

All tensors are in MindFormers' flattened "TH" layout: the tokens of all sequences one after the
other, ``[tokens, heads * head_dim]``. Scores and softmax are computed in float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from mindspore import Tensor

_Array: TypeAlias = np.ndarray[Any, Any]

_ROTATE_HALF = 2


class ApplyRotaryPosEmb:
    """Stands in for the kernel of the same name, in its "rotate half" form (Su et al., 2021, RoFormer)."""

    def __init__(self, cos_format: int = _ROTATE_HALF) -> None:
        if cos_format != _ROTATE_HALF:
            raise NotImplementedError(f"the CPU stand-in knows cos_format={_ROTATE_HALF}, not {cos_format}")

    def __call__(
        self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, batch_valid_length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rotate query and key, ``[tokens, heads * head_dim]``, by their positions, and return them.

        ``cos`` and ``sin`` are ``[max_position, head_dim]`` at prefill; ``[tokens, head_dim]``, already gathered, when
        decoding. ``batch_valid_length``, ``[batch]``, has the tokens of each sequence, those in the cache included.
        """
        lengths = _lengths(batch_valid_length)
        tokens = query.shape[0]
        cosine, sine = (x.asnumpy().astype(np.float32) for x in (cos, sin))
        if sum(lengths) == tokens:
            positions = np.concatenate([np.arange(length) for length in lengths])
            cosine, sine = cosine[positions], sine[positions]
        elif cosine.shape[0] != tokens:
            raise NotImplementedError(
                f"{tokens} tokens of {len(lengths)} sequences with {sum(lengths)} tokens in all: "
                "the CPU stand-in prefills whole prompts only"
            )
        return _rotate(query, cosine, sine), _rotate(key, cosine, sine)


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
        head_dim = query.shape[-1] // self._heads
        lengths = _lengths(actual_seq_qlen)
        k, v = (x.asnumpy().reshape(x.shape[0], -1, head_dim) for x in (key, value))
        keys, values = (np.split(x, np.cumsum(lengths))[:-1] for x in (k, v))  # the last are padding
        return None, None, None, _attend(query, self._heads, self._scale, lengths, keys, values)


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
        head_dim = query.shape[-1] // self._heads
        tables, context = block_tables.asnumpy(), _lengths(context_lens)
        counts = _lengths(q_seq_lens) if q_seq_lens is not None else [1] * len(context)

        def cached(cache: Tensor) -> Iterator[_Array]:
            array = cache.asnumpy()
            for row, length in enumerate(context):
                blocks = array[tables[row, : -(-length // array.shape[1])]]
                yield blocks.reshape(-1, self._kv_heads, head_dim)[:length]

        return _attend(query, self._heads, self._scale, counts, cached(key_cache), cached(value_cache))


def _attend(
    query: Tensor, heads: int, scale: float, counts: list[int], keys: Iterable[_Array], values: Iterable[_Array]
) -> Tensor:
    """Attend causally within each sequence, in float32; returns the shape and dtype of ``query``.

    ``counts`` has the number of queries of each sequence: they are its last tokens. ``keys`` and ``values`` have all of
    its tokens, ``[kv_len, kv_heads, head_dim]``.
    """
    array = query.asnumpy()
    wide = array.astype(np.float32).reshape(array.shape[0], heads, -1)
    out = np.empty_like(wide)
    start = 0
    for count, *key_value in zip(counts, keys, values, strict=True):
        tokens = slice(start, start + count)
        key, value = (np.repeat(x.astype(np.float32), heads // x.shape[1], axis=1) for x in key_value)
        scores = np.einsum("qhd,khd->hqk", wide[tokens], key) * np.float32(scale)
        visible = np.arange(len(key))[None, :] <= len(key) - count + np.arange(count)[:, None]
        scores = np.where(visible[None], scores, -np.inf)
        scores -= scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores)
        weights /= weights.sum(axis=-1, keepdims=True)
        out[tokens] = np.einsum("hqk,khd->qhd", weights, value)
        start += count
    return Tensor.from_numpy(out.reshape(array.shape).astype(array.dtype))


def _rotate(tensor: Tensor, cos: _Array, sin: _Array) -> Tensor:
    array = tensor.asnumpy()
    heads = array.astype(np.float32).reshape(array.shape[0], -1, cos.shape[-1])
    first, second = np.split(heads, 2, axis=-1)
    rotated = heads * cos[:, None] + np.concatenate([-second, first], axis=-1) * sin[:, None]
    return Tensor.from_numpy(rotated.reshape(array.shape).astype(array.dtype))


def _lengths(tensor: Any) -> list[int]:
    return [int(length) for length in np.asarray(tensor.asnumpy() if isinstance(tensor, Tensor) else tensor).ravel()]
