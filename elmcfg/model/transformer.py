"""The stack of blocks, and the language model on top of it.

Module and attribute names make the parameter names of the released checkpoints:
``transformer.layers.3.attn.qkv_proj.weight`` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from elmcfg.backend import on_gpu
from elmcfg.geometry import Geometry
from elmcfg.model.attention import Mask
from elmcfg.model.block import TransformerBlock
from elmcfg.model.cache import AttentionCache
from elmcfg.model.decode import Decoder
from elmcfg.model.layers import Embedding, Linear


def attention_mask(length: int, cache: AttentionCache | None) -> Mask:
    """What ``length`` new tokens may look at: the cache's word where it has one, else the past.

    One token alone may look at everything, so it needs no mask.
    """
    make_mask = getattr(cache, "make_mask", None)
    if make_mask is not None:
        mask: Mask = make_mask(length, return_array=False, window_size=None)
        return mask
    return "causal" if length > 1 else None


class OpenELMModel(nn.Module):
    """Embedding, blocks and final norm: tokens to hidden states.

    Args:
        shape: The final integers of every layer.
        rms_norm_eps: Added to the mean square in every norm.
        rope_base: Base of the rotary frequencies.
    """

    def __init__(self, shape: Geometry, *, rms_norm_eps: float, rope_base: float) -> None:
        super().__init__()
        self.token_embeddings = Embedding(shape.vocab_size, shape.model_dim)
        self.layers = [
            TransformerBlock(layer, shape, rms_norm_eps=rms_norm_eps, rope_base=rope_base)
            for layer in shape.layers
        ]
        self.norm = nn.RMSNorm(shape.model_dim, eps=rms_norm_eps)
        self._decoder = Decoder()

    def __call__(
        self, tokens: mx.array, cache: Sequence[AttentionCache | None] | None = None
    ) -> mx.array:
        """Map token ids (B, L) to hidden states (B, L, D)."""
        hidden = self.token_embeddings(tokens)
        caches = [None] * len(self.layers) if cache is None else cache
        # Every layer has seen the same tokens, so the first one's cache speaks for all.
        mask = attention_mask(tokens.shape[1], caches[0])
        if cache is not None and tokens.shape[1] == 1 and on_gpu():
            hidden = self._decoder(self.layers, hidden, mask, cache)
        else:
            for layer, layer_cache in zip(self.layers, caches, strict=True):
                hidden = layer(hidden, mask, layer_cache)
        normed: mx.array = self.norm(hidden)
        return normed


class Model(nn.Module):
    """The language model: tokens to logits, with the output head tied to the embedding or not.

    It is called as mlx-lm's models are, so mlx-lm's caches and generation work on it.

    Args:
        shape: The final integers of every layer.
        rms_norm_eps: Added to the mean square in every norm.
        rope_base: Base of the rotary frequencies.
    """

    def __init__(self, shape: Geometry, *, rms_norm_eps: float, rope_base: float) -> None:
        super().__init__()
        self.model_type = "openelm"
        self.transformer = OpenELMModel(shape, rms_norm_eps=rms_norm_eps, rope_base=rope_base)
        if not shape.share_input_output_layers:
            self.lm_head = Linear(shape.model_dim, shape.vocab_size)

    def __call__(
        self, tokens: mx.array, cache: Sequence[AttentionCache | None] | None = None
    ) -> mx.array:
        """Predict the next token at every position.

        Args:
            tokens: Token ids, (B, L) integers.
            cache: One cache per layer, or None.

        Returns:
            Logits (B, L, vocab_size).
        """
        return self.head(self.transformer(tokens, cache))

    def head(self, hidden: mx.array) -> mx.array:
        """Map normed hidden states (B, L, D) to logits (B, L, vocab_size)."""
        tied = "lm_head" not in self
        head = self.transformer.token_embeddings.as_linear if tied else self.lm_head
        logits: mx.array = head(hidden)
        return logits

    @property
    def layers(self) -> list[TransformerBlock]:
        """The blocks, from the first to the last."""
        return self.transformer.layers
