"""Attention over a quantized KV cache, such as mlx-lm's ``QuantizedKVCache``.

Such a cache hands back each of keys and values as MLX packs a quantized matrix: the packed
integers, one scale and one bias per group. MLX has no fused attention over those, so the two
products are written out.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import mlx.core as mx


def quantized_attention(
    queries: mx.array,
    keys: Sequence[mx.array],
    values: Sequence[mx.array],
    *,
    scale: float,
    mask: mx.array | str | None,
    group_size: int,
    bits: int,
) -> mx.array:
    """Scaled dot-product attention with packed keys and values.

    Args:
        queries: (B, Q, L, H).
        keys: Packed, scales and biases, each (B, K, S, ...).
        values: The same.
        scale: Factor on the products of queries and keys.
        mask: "causal", a boolean or additive array that broadcasts to (B, Q, L, S), or None.
        group_size: Channels that share a scale and a bias.
        bits: Bits per channel.

    Returns:
        (B, Q, L, H).
    """
    batch, q, length, h = queries.shape
    k = keys[0].shape[1]
    # Group the query heads by the KV head they share: one more axis to broadcast over.
    grouped = (queries * scale).reshape(batch, k, q // k, length, h)
    product = functools.partial(mx.quantized_matmul, group_size=group_size, bits=bits)
    scores = product(grouped, *_per_group(keys), transpose=True)  # (B, K, Q/K, L, S)
    weights = mx.softmax(_masked(scores, mask), axis=-1, precise=True)
    out = product(weights, *_per_group(values), transpose=False)
    return out.reshape(batch, q, length, h)


def _per_group(packed: Sequence[mx.array]) -> tuple[mx.array, mx.array, mx.array]:
    integers, scales, biases = (part[:, :, None] for part in packed)
    return integers, scales, biases


def _masked(scores: mx.array, mask: mx.array | str | None) -> mx.array:
    if mask is None:
        return scores
    if isinstance(mask, str):
        length, seen = scores.shape[-2:]
        # The new tokens are the last ones: token i of them sits at position seen - length + i.
        mask = mx.arange(seen - length, seen)[:, None] >= mx.arange(seen)
    elif mask.ndim > 2:  # (B, 1 or Q, L, S), or without B, to the grouped layout.
        *batch, heads, length, seen = mask.shape
        k, per_group = scores.shape[1:3]
        groups = (1, 1) if heads == 1 else (k, per_group)
        mask = mask.reshape(*batch, *groups, length, seen)
    if mask.dtype == mx.bool_:
        return mx.where(mask, scores, mx.finfo(scores.dtype).min)
    return scores + mask
