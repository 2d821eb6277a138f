"""One layer written out from the formulas, in float32, sharing nothing with the model's code.

No fused operation, no cache, no module: products, sums and exponentials. Slow, and plain enough to
be compared with the papers by eye: RMSNorm (arXiv 1910.07467), grouped queries (arXiv 2305.13245),
rotary positions (arXiv 2104.09864, in the "half" layout of the released models, which pairs channel
i with channel i + H/2), SwiGLU (arXiv 2002.05202).

Shape letters: B batch, L tokens, D model width, H channels per head, Q query heads, K KV heads,
F feed-forward width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mlx.core as mx

    from elmcfg.config import Config
    from elmcfg.geometry import LayerShape


def layer_output(
    x: mx.array, layer: LayerShape, config: Config, weights: Mapping[str, mx.array]
) -> mx.array:
    """What a layer makes of the residual stream.

    Args:
        x: (B, L, D), float32.
        layer: The layer's integers.
        config: For everything that the layers share.
        weights: The model's tensors by their checkpoint names, of any dtype.

    Returns:
        (B, L, D), float32.
    """
    import mlx.core as mx

    def weight(name: str) -> mx.array:
        tensor = weights[f"transformer.layers.{layer.index}.{name}.weight"]
        return tensor.astype(mx.float32)

    eps = config.rms_norm_eps
    batch, length, _ = x.shape
    q, k, h = layer.num_query_heads, layer.num_kv_heads, config.head_dim

    rows = rms_norm(x, weight("attn_norm"), eps) @ weight("attn.qkv_proj").T
    heads = rows.reshape(batch, length, q + 2 * k, h)
    queries, keys, values = heads[:, :, :q], heads[:, :, q : q + k], heads[:, :, q + k :]
    if config.normalize_qk_projections:
        queries = rms_norm(queries, weight("attn.q_norm"), eps)
        keys = rms_norm(keys, weight("attn.k_norm"), eps)
    queries = rotate(queries, config.rope_freq_constant)
    keys = rotate(keys, config.rope_freq_constant)
    # Query head j is served by KV head j // (Q / K).
    served_by = [head // (q // k) for head in range(q)]
    keys, values = keys[:, :, served_by], values[:, :, served_by]
    attended = attention(queries, keys, values).reshape(batch, length, q * h)
    x = x + attended @ weight("attn.out_proj").T

    inner = rms_norm(x, weight("ffn_norm"), eps) @ weight("ffn.proj_1").T
    if config.ffn_with_glu:
        gate, up = inner[..., : layer.ffn_dim], inner[..., layer.ffn_dim :]
        inner = swish(gate) * up
    else:
        inner = swish(inner)
    return x + inner @ weight("ffn.proj_2").T


def rms_norm(x: mx.array, weight: mx.array, eps: float) -> mx.array:
    """``x / sqrt(mean(x^2) + eps) * weight``, the mean over the last axis."""
    import mlx.core as mx

    return x / mx.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def rotate(x: mx.array, base: float) -> mx.array:
    """Rotate the pair (i, i + H/2) of position t by the angle ``t * base^(-2i/H)``.

    Args:
        x: (B, L, heads, H).
        base: Base of the frequencies.
    """
    import mlx.core as mx

    half = x.shape[-1] // 2
    frequencies = mx.exp(-mx.arange(half) / half * mx.log(mx.array(base, mx.float32)))
    angles = (mx.arange(x.shape[1])[:, None] * frequencies)[:, None]  # (L, 1, H/2)
    cos, sin = mx.cos(angles), mx.sin(angles)
    first, second = x[..., :half], x[..., half:]
    return mx.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def attention(queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
    """Causal attention of as many KV heads as query heads, (B, L, Q, H) each."""
    import mlx.core as mx

    length, h = queries.shape[1], queries.shape[-1]
    queries, keys, values = (part.transpose(0, 2, 1, 3) for part in (queries, keys, values))
    scores = queries @ keys.transpose(0, 1, 3, 2) / h**0.5
    seen = mx.arange(length)[:, None] >= mx.arange(length)
    scores = mx.exp(mx.where(seen, scores, -mx.inf) - scores.max(axis=-1, keepdims=True))
    weights = scores / scores.sum(axis=-1, keepdims=True)
    return (weights @ values).transpose(0, 2, 1, 3)


def swish(x: mx.array) -> mx.array:
    """``x * sigmoid(x)``."""
    import mlx.core as mx

    return x / (1 + mx.exp(-x))
