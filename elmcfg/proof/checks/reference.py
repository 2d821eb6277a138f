"""Every layer computes what the papers' formulas say."""

from __future__ import annotations

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

    model, worst = subject.evaluated_model, 0.0
    x = model.transformer.token_embeddings(subject.short_tokens)
    for layer in subject.shape.layers:
        subject.note(f"layer {layer.index}")
        plain = x.astype(mx.float32)
        expected = layer_output(plain, layer, subject.config, subject.parameters) - plain
        x = model.layers[layer.index](x, "causal" if x.shape[1] > 1 else None)
        share = share_of_difference(x.astype(mx.float32) - plain, expected)
        expect_close(f"layer {layer.index} is not what the formulas say", share, subject.dtype)
        worst = max(worst, share)
    allowed = TOLERANCES[subject.dtype]
    return f"{len(model.layers)} layers as the formulas, within {worst:.1g} (allowed {allowed:g})"
