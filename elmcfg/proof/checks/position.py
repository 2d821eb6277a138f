"""The order of tokens matters to attention itself."""

from __future__ import annotations

import math

from elmcfg.proof.casting import cast
from elmcfg.proof.subject import CheckFailedError, Subject
from elmcfg.proof.tolerance import number

TOLERANCE = 1e-5
_TOKENS = 4


def check(subject: Subject) -> str:
    """Swap the first two of four inputs of each layer's attention, and look at the last output.

    Without rotary positions attention is a mean over a *set*: the last output would stay the same.
    This is looked at layer by layer, because a stack of causal layers tells orders apart even
    without positions: its earlier tokens see fewer others.

    Inputs are scaled so that queries and keys are about 1 in size, and all is done in float32. The
    last output then changes by several per cent of its size, and in the smallest models still by
    1e-4; without positions only rounding is left, a few units of 1e-7. The tolerance lies between.

    Raises:
        CheckFailedError: Naming the first layer that does not mind.
    """
    import mlx.core as mx

    model, config = subject.evaluated_model, subject.config
    size = 1 / (config.initializer_range * math.sqrt(config.model_dim))
    x = size * mx.random.normal((1, _TOKENS, config.model_dim), key=mx.random.key(subject.seed))
    swapped = x[:, [1, 0, 2, 3]]
    least = math.inf
    for index, layer in enumerate(model.layers):
        subject.note(f"layer {index}")
        with cast(layer.attn, "float32"):
            one, other = (layer.attn(rows, "causal")[:, -1] for rows in (x, swapped))
        moved = number(mx.sqrt(((one - other) ** 2).sum() / (one**2).sum()))
        if not moved > TOLERANCE:
            raise CheckFailedError(
                f"layer {index}: swapping two earlier tokens changes a later one's attention by "
                f"{moved:.1g}: positions have no effect"
            )
        least = min(least, moved)
    return f"swapping two tokens moves a later one's attention by at least {least:.1%}, every layer"
