"""Every dtype that weights can have gives the numbers of float32, to its own precision."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from elmcfg.backend import on_gpu
from elmcfg.costs import DTYPE_BYTES
from elmcfg.proof.casting import cast
from elmcfg.proof.subject import CheckFailedError, Subject
from elmcfg.proof.tolerance import TOLERANCES, expect_close, share_of_difference

if TYPE_CHECKING:
    import mlx.core as mx

_TOKENS = 2
_OWN = threading.local()


def check(subject: Subject) -> str:
    """Run every layer in float32, bfloat16 and float16, each with the same weights, cast.

    The layers are cast one at a time, so this needs the memory of one in each dtype. A layer must
    answer in the dtype it was asked in: a constant of another one would silently promote everything
    after it.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`, of the largest number in the residual
    stream after each layer.

    Raises:
        CheckFailedError: Naming the layer and the dtype.
    """
    import mlx.core as mx

    model = subject.evaluated_model
    tokens = subject.short_tokens[:, :_TOKENS]
    start = model.transformer.token_embeddings(tokens).astype(mx.float32)
    residual = dict.fromkeys(DTYPE_BYTES, start)
    worst = dict.fromkeys(DTYPE_BYTES, 0.0)
    lanes = _lanes()
    for index, layer in enumerate(model.layers):
        subject.note(f"layer {index} in {', '.join(DTYPE_BYTES)}")
        for dtype, x in residual.items():
            with mx.stream(lanes[dtype]), cast(layer, dtype):
                asked = x.astype(getattr(mx, dtype))
                out = layer(asked, "causal" if x.shape[1] > 1 else None)
            if str(out.dtype) != f"mlx.core.{dtype}":
                raise CheckFailedError(f"layer {index} turns {dtype} into {out.dtype}")
            residual[dtype] = out
        mx.eval(residual)
        for dtype, out in residual.items():
            share = share_of_difference(out, residual["float32"])
            expect_close(f"layer {index} in {dtype}", share, dtype)
            worst[dtype] = max(worst[dtype], share)
    halves = [name for name in TOLERANCES if name != "float32"]
    return ", ".join(f"{name} within {worst[name]:.1g} of float32" for name in halves)


def _lanes() -> dict[str, mx.Stream]:
    """What each dtype is computed on: MLX casts with one core, so on a CPU a stream of its own.

    Made once in each thread: a stream serves the thread that made it, and MLX never ends one.
    """
    import mlx.core as mx

    if on_gpu():
        return dict.fromkeys(DTYPE_BYTES, mx.default_stream(mx.default_device()))
    if not hasattr(_OWN, "lanes"):
        _OWN.lanes = {dtype: mx.new_stream(mx.Device(mx.cpu)) for dtype in DTYPE_BYTES}
    lanes: dict[str, mx.Stream] = _OWN.lanes
    return lanes
