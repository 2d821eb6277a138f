"""Weights for a proof: as spread out as a model's first ones, and many times quicker to make.

Drawing 270 million independent numbers takes longer on a CPU than every check that uses them. A
proof needs weights that have the right spread and in which no row or column resembles another; it
does not need independent ones. So the matrices, one after another, are cut from one stream: some
four million random numbers, over and over. Their count is a prime, so two rows of a matrix never
begin at the same number, and are as little correlated as independent ones; models of fewer
parameters do get independent numbers. Copying is as fast as memory. Norm weights are not 1 but near
it, so that leaving them out is noticed.

:func:`elmcfg.build` draws honest independent weights; train from those.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mlx.core as mx

    from elmcfg.config import Config
    from elmcfg.model import Model

PERIOD = 2**22 - 3
"""Numbers after which the stream begins again: a prime, and 16 MiB in float32."""

NORM_SPREAD = 0.1


def quick_weights(model: Model, config: Config, *, dtype: str, seed: int) -> None:
    """Give a model weights for a proof, in place, and compute them.

    Args:
        model: A model whose weights have the right shapes.
        config: Its config, for the spread.
        dtype: Name of the weights' dtype.
        seed: The same seed gives the same weights.
    """
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_unflatten

    target = getattr(mx, dtype)
    weights = dict(tree_flatten(model.parameters()))
    pool_key, *keys = mx.random.split(mx.random.key(seed), 1 + len(weights))
    # The variance of a uniform distribution on (-a, a) is a^2 / 3.
    bound = math.sqrt(3) * config.initializer_range
    numbers = min(PERIOD, sum(each.size for each in weights.values()))
    pool = mx.random.uniform(-bound, bound, (numbers,), key=pool_key).astype(target)
    start = 0
    for key, (name, placeholder) in zip(keys, weights.items(), strict=True):
        shape = placeholder.shape
        if placeholder.ndim == 2:
            weights[name] = _from_stream(pool, start, placeholder.size).reshape(shape)
            start = (start + placeholder.size) % numbers
        else:
            near_one = 1 + mx.random.uniform(-NORM_SPREAD, NORM_SPREAD, shape, key=key)
            weights[name] = near_one.astype(target)
    model.update(tree_unflatten(list(weights.items())))
    mx.eval(weights)


def _from_stream(pool: mx.array, start: int, count: int) -> mx.array:
    """``count`` numbers of the stream that repeats the pool, from ``start`` on.

    In two pieces at least, which are copied: one alone would be a view of the pool, and a model of
    views takes less memory than one of weights, and is read faster.
    """
    import mlx.core as mx

    most, pieces = -(-count // 2), []
    while count:
        pieces.append(pool[start : start + min(most, count)])
        start = (start + pieces[-1].size) % pool.size
        count -= pieces[-1].size
    return mx.concatenate(pieces)
