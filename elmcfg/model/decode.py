"""One new token through the stack in few, compiled pieces.

A GPU takes less time to compute a step of decoding than Python takes to write it down. So what lies
between the attentions of two layers (output projection, feed-forward, norms, the next projection,
RoPE) is compiled into one function: written down once, and run with its elementwise operations
fused. Attention itself, and the cache that grows, stay outside.

``benchmarks/gpu.py`` compares it with mlx-lm's decoding. On a CPU the products take the time, and
fusing needs a C++ compiler: there, the pieces run as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import mlx.core as mx

if TYPE_CHECKING:
    from elmcfg.model.attention import Mask
    from elmcfg.model.block import TransformerBlock

Piece = Callable[..., Any]
"""Gives the residual stream (B, 1, D) and, before an attention, what that attends with."""


class Decoder:
    """The compiled pieces of one stack of layers, made when they are first needed.

    The weights, and the modules that hold them, are inputs: they may be updated, cast, quantized
    or adapted at any time. A module exchanged for one that computes something else with tensors of
    the same shapes and dtypes is not noticed; exchange its layer.
    """

    def __init__(self) -> None:
        self._layers: list[TransformerBlock] = []
        self._pieces: list[Piece] = []

    def __reduce__(self) -> tuple[type[Decoder], tuple[()]]:
        """A copy of a model compiles its own."""
        return Decoder, ()

    def __call__(
        self,
        layers: Sequence[TransformerBlock],
        x: mx.array,
        mask: Mask,
        caches: Sequence[Any],
    ) -> mx.array:
        """Map the residual stream of one new token per row, (B, 1, D), through all layers.

        Args:
            layers: The stack.
            x: (B, 1, D).
            mask: What attention may look at.
            caches: An AttentionCache per layer; all have seen the same tokens.
        """
        if [id(layer) for layer in self._layers] != [id(layer) for layer in layers]:
            self._layers, self._pieces = list(layers), _pieces(layers)
        # An array, since a number would be compiled in; a copy, since some caches count in place.
        offset = mx.array(caches[0].offset)
        first, *others = self._pieces
        x, queries, keys, values = first(x, offset)
        for layer, cache, piece in zip(layers, caches, others, strict=True):
            x, *heads = piece(x, layer.attn.attend(queries, keys, values, mask, cache), offset)
            if heads:
                queries, keys, values = heads
        return x


def _pieces(layers: Sequence[TransformerBlock]) -> list[Piece]:
    between = [_between(*pair) for pair in itertools.pairwise(layers)]
    return [_before(layers[0]), *between, _after(layers[-1])]


def _before(layer: TransformerBlock) -> Piece:
    def piece(x: mx.array, offset: mx.array) -> tuple[mx.array, ...]:
        return x, *layer.attn.project(layer.attn_norm(x), offset)

    return mx.compile(piece, inputs=[layer])


def _between(layer: TransformerBlock, following: TransformerBlock) -> Piece:
    def piece(x: mx.array, heads: mx.array, offset: mx.array) -> tuple[mx.array, ...]:
        x = layer.finish(x, layer.attn.output(heads))
        return x, *following.attn.project(following.attn_norm(x), offset)

    return mx.compile(piece, inputs=[layer, following])


def _after(layer: TransformerBlock) -> Piece:
    def piece(x: mx.array, heads: mx.array, offset: mx.array) -> tuple[mx.array]:
        return (layer.finish(x, layer.attn.output(heads)),)

    return mx.compile(piece, inputs=[layer])
