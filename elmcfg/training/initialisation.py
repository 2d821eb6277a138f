"""Weights to start from, each matrix scaled for its own fan-in.

CoreNet draws every matrix from a normal distribution with standard deviation fan_in^-1/2 (the
embedding: model_dim^-1/2), and those that write to the residual stream, ``out_proj`` and
``ffn.proj_2``, with model_dim^-1/2 (2N)^-1/2, N being the number of layers
(apple/corenet, ``general_gpt.py``; the factor is GPT-2's, Radford et al. 2019, section 2.3).
For these two, model_dim is the fan-in of neither where layers differ: a layer with a wide
feed-forward would add more to the stream than a narrow one. A comparison of schedules must not
depend on that, so here they have fan_in^-1/2 (2N)^-1/2: at the start all layers add equally.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

if TYPE_CHECKING:
    from elmcfg.model import Model

_RESIDUAL = ("out_proj.weight", "ffn.proj_2.weight")


def standard_deviation(name: str, shape: tuple[int, ...], num_layers: int) -> float:
    """Of one matrix, (outputs, fan-in); for the embedding (vocabulary, model_dim) alike."""
    residual = (2 * num_layers) ** -0.5 if name.endswith(_RESIDUAL) else 1.0
    return float(shape[-1] ** -0.5 * residual)


def initialise(model: Model, seed: int) -> None:
    """Draw the model's weights, float32; norms are 1.

    What a tensor becomes depends on the seed, its name and its shape alone: variants that share
    the shape of a tensor, such as the embedding, start with the same values in it.

    Args:
        model: Its weights are replaced, lazily.
        seed: The same one gives the same weights.
    """
    weights: dict[str, mx.array] = {}
    for name, value in dict(tree_flatten(model.parameters())).items():
        if value.ndim == 1:
            weights[name] = mx.ones(value.shape)
            continue
        digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
        key = mx.random.key(int.from_bytes(digest[:8], "little"))
        scale = standard_deviation(name, value.shape, len(model.layers))
        weights[name] = mx.random.normal(value.shape, scale=scale, key=key)
    model.update(tree_unflatten(list(weights.items())))
