"""One layer of the stack: attention and feed-forward, each normalised before and added after."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from elmcfg.geometry import Geometry, LayerShape
from elmcfg.model.attention import Attention, Mask
from elmcfg.model.cache import AttentionCache
from elmcfg.model.feed_forward import MLP


class TransformerBlock(nn.Module):
    """A pre-norm block, ``h = x + attn(norm(x))`` and then ``h + ffn(norm(h))``.

    Args:
        layer: The final integers of this layer. Nothing is rounded here: this is where a
            layer-wise-scaled stack differs from a uniform one, and the only place.
        shape: What all layers share: model width, head width, gate and QK norm.
        rms_norm_eps: Added to the mean square in every norm.
        rope_base: Base of the rotary frequencies.
    """

    def __init__(
        self, layer: LayerShape, shape: Geometry, *, rms_norm_eps: float, rope_base: float
    ) -> None:
        super().__init__()
        self.attn = Attention(
            shape.model_dim,
            shape.head_dim,
            layer.num_query_heads,
            layer.num_kv_heads,
            normalize_qk=shape.normalize_qk_projections,
            rms_norm_eps=rms_norm_eps,
            rope_base=rope_base,
        )
        self.ffn = MLP(shape.model_dim, layer.ffn_dim, gated=shape.ffn_with_glu)
        self.attn_norm = nn.RMSNorm(shape.model_dim, eps=rms_norm_eps)
        self.ffn_norm = nn.RMSNorm(shape.model_dim, eps=rms_norm_eps)

    def __call__(
        self, x: mx.array, mask: Mask = None, cache: AttentionCache | None = None
    ) -> mx.array:
        """Map the residual stream (B, L, D) to (B, L, D); see :class:`Attention` for the rest."""
        return self.finish(x, self.attn(self.attn_norm(x), mask, cache))

    def finish(self, x: mx.array, attention: mx.array) -> mx.array:
        """What follows attention: add it to the stream (B, L, D), then the feed-forward."""
        hidden = x + attention
        return hidden + self.ffn(self.ffn_norm(hidden))
