"""What the device can do at best, measured in a few milliseconds: the roof over every speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mlx.core as mx

COPY_BYTES = 2**26
_RUNS = 4


def copy_bandwidth() -> float:
    """Bytes per second, read and written, of a copy larger than any cache, on MLX's device."""
    import mlx.core as mx

    if mx.default_device().type == mx.cpu:
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


def matmul_speed(size: int = 1024) -> float:
    """Floating-point operations per second of a float32 product of two square matrices.

    Args:
        size: Rows and columns of each.
    """
    import mlx.core as mx

    one = mx.random.normal((size, size), key=mx.random.key(0))
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
