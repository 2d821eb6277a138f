"""Every dtype that weights can have gives the numbers of float32, to its own precision."""

from __future__ import annotations

from elmcfg.costs import DTYPE_BYTES
from elmcfg.proof.casting import cast
from elmcfg.proof.lanes import lanes
from elmcfg.proof.subject import CheckFailedError, Subject
from elmcfg.proof.tolerance import TOLERANCES, expect_close, share_of_difference

_TOKENS = 2


def check(subject: Subject) -> str:
    """Run every layer in float32, bfloat16 and float16, each with the same weights, cast.

    In the model's own dtype they have been run already; for the others they are cast one at a time,
    so this needs the memory of one in each of them. A layer must answer in the dtype it was asked
    in: a constant of another one would silently promote everything after it.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`, of the largest number in the residual
    stream after each layer.

    Raises:
        CheckFailedError: Naming the layer and the dtype.
    """
    import mlx.core as mx

    start, *own = (stream[:, :_TOKENS] for stream in subject.short_streams)
    others = [dtype for dtype in DTYPE_BYTES if dtype != subject.dtype]
    residual = dict.fromkeys(DTYPE_BYTES, start)
    worst = dict.fromkeys(DTYPE_BYTES, 0.0)
    mask = "causal" if start.shape[1] > 1 else None
    for index, layer in enumerate(subject.evaluated_model.layers):
        subject.note(f"layer {index} in {' and '.join(others)}")
        residual[subject.dtype] = own[index]
        for dtype, lane in zip(others, lanes(len(others)), strict=True):
            with mx.stream(lane), cast(layer, dtype):
                residual[dtype] = layer(residual[dtype].astype(getattr(mx, dtype)), mask)
        for dtype, out in residual.items():
            if str(out.dtype) != f"mlx.core.{dtype}":
                raise CheckFailedError(f"layer {index} turns {dtype} into {out.dtype}")
        mx.eval(residual)
        for dtype, out in residual.items():
            share = share_of_difference(out, residual["float32"])
            expect_close(f"layer {index} in {dtype}", share, dtype)
            worst[dtype] = max(worst[dtype], share)
    halves = [name for name in TOLERANCES if name != "float32"]
    return ", ".join(f"{name} within {worst[name]:.1g} of float32" for name in halves)
