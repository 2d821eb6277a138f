"""Streams on which a check computes several things side by side.

Much of what MLX does on a CPU (casts, quantization, products of 2-byte types) takes one core for
each stream.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from elmcfg.backend import on_gpu

if TYPE_CHECKING:
    import mlx.core as mx

_OWN = threading.local()


def lanes(count: int) -> list[mx.Stream]:
    """As many streams, each of its own on a CPU; a GPU's default one, which needs no other.

    Made once in each thread: a stream serves the thread that made it, and MLX never ends one.
    """
    import mlx.core as mx

    if on_gpu():
        return [mx.default_stream(mx.default_device())] * count
    if not hasattr(_OWN, "streams"):
        _OWN.streams = []
    streams: list[mx.Stream] = _OWN.streams
    while len(streams) < count:
        streams.append(mx.new_stream(mx.Device(mx.cpu)))
    return streams[:count]
