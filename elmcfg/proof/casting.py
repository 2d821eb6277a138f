"""A part of a model in another dtype, for a moment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def cast(module: Any, dtype: str) -> Iterator[None]:
    """Have the weights of an ``mlx.nn.Module`` in another dtype within the block.

    Results must be evaluated there, or keep what they were made of.

    Args:
        module: The module; it gets its own weights back.
        dtype: Name of the dtype.
    """
    import mlx.core as mx
    from mlx.utils import tree_map

    target = getattr(mx, dtype)
    own = module.parameters()
    module.update(tree_map(lambda weight: weight.astype(target), own))
    try:
        yield
    finally:
        module.update(own)
