"""The random weights of a model as numpy arrays, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from numpy.typing import NDArray

from elmcfg.model.build import build

if TYPE_CHECKING:
    from elmcfg.config import Config


def random_arrays(config: Config, *, dtype: str, seed: int) -> Callable[[str], NDArray[Any]]:
    """What ``build`` makes, computed tensor by tensor.

    Args:
        config: A valid config.
        dtype: Name of the dtype of all weights.
        seed: As ``build`` takes it.

    Returns:
        A function from a tensor's name to its values, to be called once for each: memory holds
        one of them at a time. bfloat16 comes as the bits, in ``uint16``.
    """
    pending = dict(tree_flatten(build(config, dtype=dtype, seed=seed).parameters()))

    def take(name: str) -> NDArray[Any]:
        tensor = pending.pop(name)
        return np.array(tensor.view(mx.uint16) if tensor.dtype == mx.bfloat16 else tensor)

    return take
