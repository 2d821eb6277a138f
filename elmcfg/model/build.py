"""From a config to a model with random weights, without computing any of them yet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from elmcfg.costs import DTYPE_BYTES
from elmcfg.geometry import geometry
from elmcfg.model.transformer import Model

if TYPE_CHECKING:
    from elmcfg.config import Config

DTYPES: dict[str, mx.Dtype] = {name: getattr(mx, name) for name in DTYPE_BYTES}
"""The dtypes that weights can have, by name."""


def as_dtype(dtype: mx.Dtype | str) -> mx.Dtype:
    """An MLX dtype from itself or its name.

    Raises:
        ValueError: If it is not a dtype that weights can have; names those.
    """
    for name, known in DTYPES.items():
        if dtype in (name, known):
            return known
    raise ValueError(f"unknown dtype {str(dtype)!r}; choose from {', '.join(DTYPES)}")


def build(config: Config, *, dtype: mx.Dtype | str = "float32", seed: int = 0) -> Model:
    """Make a model with random weights.

    Nothing is evaluated: weights are computed when first used (or by ``mx.eval``), so that a model
    far larger than memory can be built and its shapes looked at. Matrices are drawn uniformly
    with mean 0 and standard deviation ``initializer_range`` (uniformly because MLX draws that four
    times faster than a normal distribution); norms are 1. The global random state is left alone.

    Args:
        config: A valid config.
        dtype: Of all weights: an MLX dtype or its name, one of :data:`DTYPES`.
        seed: The same seed gives the same weights, whatever else is going on.

    Returns:
        The model: ``model(tokens, cache=None)`` gives logits (B, L, vocab_size).

    Raises:
        ValueError: If ``dtype`` is unknown.
    """
    target = as_dtype(dtype)
    model = Model(
        geometry(config), rms_norm_eps=config.rms_norm_eps, rope_base=config.rope_freq_constant
    )
    weights = dict(tree_flatten(model.parameters()))
    keys = mx.random.split(mx.random.key(seed), len(weights))
    # The variance of a uniform distribution on (-a, a) is a^2 / 3.
    bound = math.sqrt(3) * config.initializer_range
    for key, (name, placeholder) in zip(keys, weights.items(), strict=True):
        if placeholder.ndim == 2:
            drawn = mx.random.uniform(-bound, bound, placeholder.shape, key=key)
            weights[name] = drawn.astype(target)
        else:
            weights[name] = placeholder.astype(target)
    model.update(tree_unflatten(list(weights.items())))
    return model
