"""Grouped-query attention with a fused projection, optional QK norm, and rotary positions.

For token t and query head j, with KV head g = j // (Q / K):

    out[t, j] = sum over s <= t of softmax_s(q[t, j] . k[s, g] / sqrt(H)) * v[s, g]

where q and k have been RMS-normalised per head (where the config says so) and then rotated by
their position (RoPE, arXiv 2104.09864; MLX's and the released models' "half" layout, which pairs
channel i with channel i + H/2). Grouping is arXiv 2305.13245.

Shape letters: B batch, L new tokens, S tokens attended to, D model width, H channels per head,
Q query heads, K key/value heads.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from elmcfg.model.cache import AttentionCache
from elmcfg.model.layers import Linear
from elmcfg.model.quantized import quantized_attention

Mask = mx.array | str | None
"""What attention may look at: "causal", an array that broadcasts to (B, Q, L, S), or all of it."""


class Attention(nn.Module):
    """The attention of one layer.

    Args:
        model_dim: D.
        head_dim: H, even.
        num_query_heads: Q.
        num_kv_heads: K; divides Q.
        normalize_qk: Whether queries and keys are RMS-normalised per head.
        rms_norm_eps: Added to the mean square in those norms.
        rope_base: Base of the rotary frequencies.
    """

    def __init__(
        self,
        model_dim: int,
        head_dim: int,
        num_query_heads: int,
        num_kv_heads: int,
        *,
        normalize_qk: bool,
        rms_norm_eps: float,
        rope_base: float,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_kv_heads = num_kv_heads
        self.normalize_qk = normalize_qk
        # Rows of the fused projection: the query heads, then the keys, then the values.
        self.qkv_proj = Linear(model_dim, (num_query_heads + 2 * num_kv_heads) * head_dim)
        self.out_proj = Linear(num_query_heads * head_dim, model_dim)
        if normalize_qk:
            self.q_norm = nn.RMSNorm(head_dim, eps=rms_norm_eps)
            self.k_norm = nn.RMSNorm(head_dim, eps=rms_norm_eps)
            self._is_query = (
                mx.arange(num_query_heads + num_kv_heads)[:, None, None] < num_query_heads
            )
        self.rope = nn.RoPE(head_dim, traditional=False, base=rope_base)

    def __call__(
        self, x: mx.array, mask: Mask = None, cache: AttentionCache | None = None
    ) -> mx.array:
        """Attend.

        Args:
            x: (B, L, D).
            mask: See :data:`Mask`.
            cache: Keys and values of earlier tokens; the new ones are appended to it.

        Returns:
            (B, L, D).
        """
        # Read before the cache is updated: the position of the first new token.
        queries, keys, values = self.project(x, 0 if cache is None else cache.offset)
        return self.output(self.attend(queries, keys, values, mask, cache))

    def project(self, x: mx.array, offset: int | mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """What is attended with, before any token is looked at.

        Args:
            x: (B, L, D).
            offset: Position of the first token: one number, or one per row.

        Returns:
            Queries (B, Q, L, H) and keys (B, K, L, H), normalised and rotated, and values
            (B, K, L, H).
        """
        batch, length, _ = x.shape
        q, k = self.num_query_heads, self.num_kv_heads
        heads = self.qkv_proj(x).reshape(batch, length, q + 2 * k, self.head_dim)
        position: Any = offset  # RoPE's annotation says int.
        if length == 1:
            # Together: half as many operations, which a GPU waits for.
            both, values = mx.split(heads.transpose(0, 2, 1, 3), [q + k], axis=1)
            if self.normalize_qk:
                weight = mx.where(self._is_query, self.q_norm.weight, self.k_norm.weight)
                both = mx.fast.rms_norm(both, None, self.q_norm.eps) * weight
            queries, keys = mx.split(self.rope(both, offset=position), [q], axis=1)
        else:
            # Apart: each norm multiplies by its weight in the same pass over its input.
            queries, keys, values = mx.split(heads.transpose(0, 2, 1, 3), [q, q + k], axis=1)
            if self.normalize_qk:
                queries, keys = self.q_norm(queries), self.k_norm(keys)
            queries = self.rope(queries, offset=position)
            keys = self.rope(keys, offset=position)
        return queries, keys, values

    def attend(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        mask: Mask,
        cache: AttentionCache | None,
    ) -> mx.array:
        """The heads' results (B, Q, L, H) for what :meth:`project` gives."""
        if cache is not None:
            keys, values = cache.update_and_fetch(keys, values)  # (B, K, S, H)
        return self._attend(queries, keys, values, mask, cache)

    def output(self, heads: mx.array) -> mx.array:
        """Map the heads' results (B, Q, L, H) to (B, L, D)."""
        batch, _, length, _ = heads.shape
        return self.out_proj(heads.transpose(0, 2, 1, 3).reshape(batch, length, -1))

    def _attend(
        self,
        queries: mx.array,
        keys: Any,
        values: Any,
        mask: Mask,
        cache: AttentionCache | None,
    ) -> mx.array:
        scale = self.head_dim**-0.5
        bits = getattr(cache, "bits", None)
        if bits is not None:  # A quantized cache hands back packed keys and values.
            group_size = cache.group_size  # type: ignore[union-attr]
            return quantized_attention(
                queries, keys, values, scale=scale, mask=mask, group_size=group_size, bits=bits
            )
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
