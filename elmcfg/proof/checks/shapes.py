"""Every layer maps the residual stream to itself, and the model maps tokens to logits.

Read off the lazy graph: MLX knows the shape of a result before computing it, so this costs
neither time nor memory, whatever the size of the model.
"""

from __future__ import annotations

from elmcfg.geometry import LayerShape
from elmcfg.proof.subject import Subject, expect_shape


def check(subject: Subject) -> str:
    """Check each layer's attention, KV cache and feed-forward, then the logits.

    Returns:
        The shapes that were found.

    Raises:
        CheckFailedError: Naming the layer and part whose shape is wrong, and both shapes.
    """
    for layer in subject.shape.layers:
        _check_layer(subject, layer)
    logits = subject.model(subject.tokens)
    batch, length = subject.batch_size, subject.seq_len
    expect_shape("the logits", logits, (batch, length, subject.config.vocab_size))
    stream = (batch, length, subject.config.model_dim)
    return f"{len(subject.shape.layers)} layers of {stream}, logits {tuple(logits.shape)}"


def _check_layer(subject: Subject, layer: LayerShape) -> None:
    import mlx.core as mx

    from elmcfg.model import KVCache

    batch, length = subject.batch_size, subject.seq_len
    stream = (batch, length, subject.config.model_dim)
    x = mx.zeros(stream, getattr(mx, subject.dtype))
    block, cache, name = subject.model.layers[layer.index], KVCache(), f"layer {layer.index}"
    expect_shape(f"{name}: attention", block.attn(x, "causal", cache), stream)
    expect_shape(f"{name}: feed-forward", block.ffn(x), stream)
    expect_shape(f"{name}: output", block(x, "causal"), stream)
    held = (batch, layer.num_kv_heads, length, subject.config.head_dim)
    for part, buffer in (("keys", cache.keys), ("values", cache.values)):
        if buffer is not None:  # Of a capacity that grows in steps; the rest is exact.
            expect_shape(f"{name}: cached {part}", buffer[:, :, :length], held)
