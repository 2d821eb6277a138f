"""What part of a device's speed a training run uses (model FLOPs utilisation, arXiv 2204.02311)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import mlx.core as mx

from elmcfg.costs import cost
from elmcfg.model import as_dtype

if TYPE_CHECKING:
    from elmcfg.config import Config

_SIZES = {mx.cpu: 1024, mx.gpu: 8192}
_ROUNDS = 4


def matmul_flops_per_second(dtype: str) -> float:
    """What one large square matrix product reaches on MLX's device: the best of four."""
    size = _SIZES[mx.default_device().type]
    matrix = mx.random.normal((size, size), key=mx.random.key(0)).astype(as_dtype(dtype))
    mx.eval(matrix)
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        mx.eval(matrix @ matrix)
        seconds.append(time.perf_counter() - began)
    return float(2 * size**3 / min(seconds))


def model_flops_utilisation(
    config: Config, seq_len: int, tokens_per_second: float, peak: float
) -> float:
    """FLOPs of forward and backward pass as a share of the device's peak.

    Args:
        config: The model.
        seq_len: Tokens per sequence.
        tokens_per_second: Of training.
        peak: FLOPs per second.
    """
    return cost(config, context_length=seq_len).flops_per_token.training * tokens_per_second / peak
