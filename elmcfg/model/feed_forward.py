"""The feed-forward network of one layer, with a gate (SwiGLU, arXiv 2002.05202) or without.

    with a gate:    out = W2 (silu(Wg x) * Wu x)    3 * F * D parameters
    without:        out = W2 silu(W1 x)             2 * F * D parameters

Shape letters: B batch, L tokens, D model width, F feed-forward width.
"""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from elmcfg.model.layers import Linear


@partial(mx.compile, shapeless=True)
def swiglu(gate: mx.array, up: mx.array) -> mx.array:
    """``silu(gate) * up``, compiled into one operation: a GPU waits for each."""
    product: mx.array = nn.silu(gate) * up
    return product


class MLP(nn.Module):
    """The feed-forward network of one layer.

    Args:
        model_dim: D.
        ffn_dim: F, the final width of this layer.
        gated: Whether ``proj_1`` holds the gate's F rows followed by the up projection's F rows,
            or F rows alone.
    """

    def __init__(self, model_dim: int, ffn_dim: int, *, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.proj_1 = Linear(model_dim, 2 * ffn_dim if gated else ffn_dim)
        self.proj_2 = Linear(ffn_dim, model_dim)

    def __call__(self, x: mx.array) -> mx.array:
        """Map (B, L, D) to (B, L, D)."""
        hidden = self.proj_1(x)  # (B, L, 2F) or (B, L, F)
        if not self.gated:
            return self.proj_2(nn.silu(hidden))
        gate, up = mx.split(hidden, 2, axis=-1)
        return self.proj_2(swiglu(gate, up))
