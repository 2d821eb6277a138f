"""What MLX's device can do at best, measured in a moment: the roof over every speed.

This module imports MLX where it measures, not when it is imported itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from elmcfg.backend import on_gpu

if TYPE_CHECKING:
    import mlx.core as mx

COPY_BYTES = 2**26
_RUNS = 4


def copy_bandwidth() -> float:
    """Bytes per second, read and written, of a copy larger than any cache, on MLX's device."""
    import mlx.core as mx

    if not on_gpu():
        return _host_copy_bandwidth()
    source = mx.zeros((COPY_BYTES // 4,))
    return 2 * COPY_BYTES / _best(lambda: -source)


def _host_copy_bandwidth() -> float:
    """The same in memory that is in use already: new pages would be zeroed first."""
    source, target = bytearray(COPY_BYTES), bytearray(COPY_BYTES)
    seconds = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        target[:] = source
        seconds.append(time.perf_counter() - began)
    return 2 * COPY_BYTES / min(seconds)


def matmul_flops_per_second(size: int | None = None, dtype: str = "float32") -> float:
    """Floating-point operations per second of a product of two square matrices on MLX's device.

    Args:
        size: Rows and columns of each; None for as many as occupy a device of its kind, 1,024 on a
            CPU and 8,192 on a GPU.
        dtype: Name of their dtype.
    """
    import mlx.core as mx

    size = size or (8192 if on_gpu() else 1024)
    one = mx.random.normal((size, size), key=mx.random.key(0)).astype(getattr(mx, dtype))
    return 2 * size**3 / _best(lambda: one @ one)


def _best(compute: Callable[[], mx.array]) -> float:
    """Seconds of the fastest of a few runs; the first one also makes what is computed from."""
    import mlx.core as mx

    seconds = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        mx.eval(compute())
        seconds.append(time.perf_counter() - began)
    return min(seconds)
