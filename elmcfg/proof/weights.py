"""Weights for a proof: as spread out as a model's first ones, and several times quicker to make.

Drawing 270 million independent numbers takes longer on a CPU than every check that uses them. A
proof needs weights that have the right spread and in which no row or column resembles another; it
does not need independent ones. So each matrix is a window that slides over one pool of random
numbers, ``pool[row * STRIDE + column]``, with a random sign for each row and each column, which
leaves rows with no correlation, though they share numbers. Norm weights are not 1 but near it, so
that leaving them out is noticed.

:func:`elmcfg.build` draws honest independent weights; train from those.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mlx.core as mx

    from elmcfg.config import Config
    from elmcfg.model import Model

STRIDE = 61
"""Numbers by which a row's window lies after the one of the row before."""

NORM_SPREAD = 0.1


def quick_weights(model: Model, config: Config, *, dtype: str, seed: int) -> Model:
    """Give a model lazy weights for a proof, in place.

    Args:
        model: A model whose weights have the right shapes.
        config: Its config, for the spread.
        dtype: Name of the weights' dtype.
        seed: The same seed gives the same weights.

    Returns:
        The model.
    """
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_unflatten

    target = getattr(mx, dtype)
    weights = dict(tree_flatten(model.parameters()))
    keys = mx.random.split(mx.random.key(seed), len(weights))
    # The variance of a uniform distribution on (-a, a) is a^2 / 3.
    bound = math.sqrt(3) * config.initializer_range
    for key, (name, placeholder) in zip(keys, weights.items(), strict=True):
        if placeholder.ndim == 2:
            drawn = _matrix(placeholder.shape, bound, key)
        else:
            drawn = 1 + mx.random.uniform(-NORM_SPREAD, NORM_SPREAD, placeholder.shape, key=key)
        weights[name] = drawn.astype(target)
    model.update(tree_unflatten(list(weights.items())))
    return model


def _matrix(shape: tuple[int, ...], bound: float, key: mx.array) -> mx.array:
    import mlx.core as mx

    rows, columns = shape
    pool_key, row_key, column_key = mx.random.split(key, 3)
    pool = mx.random.uniform(-bound, bound, ((rows - 1) * STRIDE + columns,), key=pool_key)
    windows = mx.as_strided(pool, shape, (STRIDE, 1))
    return windows * _signs((rows, 1), row_key) * _signs((1, columns), column_key)


def _signs(shape: tuple[int, int], key: mx.array) -> mx.array:
    import mlx.core as mx

    return 1.0 - 2.0 * mx.random.bernoulli(0.5, shape, key=key)
