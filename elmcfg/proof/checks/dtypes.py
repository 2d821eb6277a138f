"""Every dtype that weights can have gives the numbers of float32, to its own precision."""

from __future__ import annotations

from elmcfg.costs import DTYPE_BYTES
from elmcfg.proof.casting import cast
from elmcfg.proof.subject import CheckFailedError, Subject
from elmcfg.proof.tolerance import TOLERANCES, expect_close, share_of_difference

_TOKENS = 2


def check(subject: Subject) -> str:
    """Run every layer in float32, bfloat16 and float16, each with the same weights, cast.

    The layers are cast one at a time, so this needs the memory of one. A layer must answer in the
    dtype it was asked in: a constant of another dtype would silently promote everything after it.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`, of the largest number in the residual
    stream after each layer.

    Raises:
        CheckFailedError: Naming the layer and the dtype.
    """
    import mlx.core as mx

    model = subject.evaluated_model
    tokens = subject.short_tokens[:, :_TOKENS]
    start = model.transformer.token_embeddings(tokens).astype(mx.float32)
    streams = dict.fromkeys(DTYPE_BYTES, start)
    worst = dict.fromkeys(DTYPE_BYTES, 0.0)
    for index, layer in enumerate(model.layers):
        for dtype in DTYPE_BYTES:
            subject.note(f"layer {index} in {dtype}")
            x = streams[dtype].astype(getattr(mx, dtype))
            with cast(layer, dtype):
                out = layer(x, "causal" if x.shape[1] > 1 else None)
            if str(out.dtype) != f"mlx.core.{dtype}":
                raise CheckFailedError(f"layer {index} turns {dtype} into {out.dtype}")
            mx.eval(out)
            streams[dtype] = out
            share = share_of_difference(out, streams["float32"])
            expect_close(f"layer {index} in {dtype}", share, dtype)
            worst[dtype] = max(worst[dtype], share)
    halves = [name for name in TOLERANCES if name != "float32"]
    return ", ".join(f"{name} within {worst[name]:.1g} of float32" for name in halves)
