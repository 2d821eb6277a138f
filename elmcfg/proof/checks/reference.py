"""Every layer computes what the papers' formulas say."""

from __future__ import annotations

import itertools

from elmcfg.proof.reference import layer_output
from elmcfg.proof.subject import Subject
from elmcfg.proof.tolerance import TOLERANCES, expect_close, share_of_difference


def check(subject: Subject) -> str:
    """Compare each layer's change to the residual stream with the formulas written out plainly.

    Each layer gets the model's own input to it, so that a difference names the layer it arises in.
    It sees what no comparison of the model with itself can: KV heads that serve the wrong queries,
    gate and up projection swapped, a norm left out, a rotation of the wrong pairs.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`, of the largest change.

    Raises:
        CheckFailedError: Naming the first layer that differs.
    """
    import mlx.core as mx

    streams, worst = subject.short_streams, 0.0
    weights = subject.parameters
    for layer, (before, after) in zip(
        subject.shape.layers, itertools.pairwise(streams), strict=True
    ):
        subject.note(f"layer {layer.index}")
        plain = before.astype(mx.float32)
        expected = layer_output(plain, layer, subject.config, weights) - plain
        share = share_of_difference(after.astype(mx.float32) - plain, expected)
        expect_close(f"layer {layer.index} is not what the formulas say", share, subject.dtype)
        worst = max(worst, share)
    allowed = TOLERANCES[subject.dtype]
    return f"{len(streams) - 1} layers as the formulas, within {worst:.1g} (allowed {allowed:g})"
