"""Linear and embedding layers that are made without drawing random numbers.

MLX's own constructors draw initial weights from the global random state. That would make a
model's weights depend on the order of its construction, and change the caller's random numbers.
Here the constructors leave a lazy placeholder of the right shape, and :mod:`elmcfg.model.build`
sets the weights. Both are subclasses, so that quantization and LoRA code recognises them.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn


class Linear(nn.Linear):
    """A linear layer without bias, ``x @ weight.T``, with weight (output_dims, input_dims)."""

    def __init__(self, input_dims: int, output_dims: int) -> None:
        nn.Module.__init__(self)
        self.weight = mx.zeros((output_dims, input_dims))


class Embedding(nn.Embedding):
    """A table of vectors, with weight (num_embeddings, dims)."""

    def __init__(self, num_embeddings: int, dims: int) -> None:
        nn.Module.__init__(self)
        self.weight = mx.zeros((num_embeddings, dims))
