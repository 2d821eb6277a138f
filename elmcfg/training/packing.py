"""Many tensors in two arrays: what is done to all of them is then done at once.

A step of training touches each tensor with a dozen small operations: the cast to the dtype of the
computation, the norm of its gradient, clipping, AdamW. A GPU waits for every one of them, so that
in a small model they take as long as its products. On a CPU it is better to have tensors apart:
one that was just computed is still in the processor's cache.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten


class Packing:
    """Which tensors of a model lie in which vector.

    Args:
        parameters: A tree of tensors, both matrices and vectors.
        together: Whether all matrices lie in one vector and all norms in another, or each tensor
            in a vector of its own.
    """

    def __init__(self, parameters: Any, *, together: bool) -> None:
        self._shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        self.matrices: set[str] = set()
        """The vectors that hold matrices; the others hold norms."""
        for name, value in dict(tree_flatten(parameters)).items():
            matrix = value.ndim > 1
            kind = "matrices" if matrix else "norms"
            # A dot in a key would mean another level of the tree.
            key = kind if together else name.replace(".", "/")
            self._shapes.setdefault(key, {})[name] = value.shape
            if matrix:
                self.matrices.add(key)

    def pack(self, parameters: Any) -> dict[str, mx.array]:
        """A tree like that of the parameters as vectors, float32."""
        named: dict[str, mx.array] = dict(tree_flatten(parameters))
        return {
            key: mx.concatenate([named[name].flatten() for name in shapes]).astype(mx.float32)
            for key, shapes in self._shapes.items()
        }

    def views(self, packed: dict[str, mx.array], dtype: mx.Dtype) -> Any:
        """The tree again: views, where the dtype is that of the vectors.

        Take gradients of the tree and pack those, not of the vectors: MLX's gradient of a split
        copies the whole array once for each part (seen in 0.32).
        """
        named: list[tuple[str, mx.array]] = []
        for key, shapes in self._shapes.items():
            *ends, _ = itertools.accumulate(math.prod(shape) for shape in shapes.values())
            parts = mx.split(packed[key].astype(dtype), ends)
            for (name, shape), part in zip(shapes.items(), parts, strict=True):
                named.append((name, part.reshape(shape)))
        return tree_unflatten(named)
