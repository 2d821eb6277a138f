"""The model runs: logits of the right shape, and every number finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from elmcfg.proof.subject import CheckFailedError, Subject, expect_shape

if TYPE_CHECKING:
    import mlx.core as mx


def check(subject: Subject) -> str:
    """Run one pass and look at every logit; look at every layer if one is not finite.

    Finite logits need finite layers: a NaN or an infinity in the residual stream stays in it,
    and the final norm makes it a NaN.

    Returns:
        Shape and largest size of the logits.

    Raises:
        CheckFailedError: Naming the first layer with a number that is not finite.
    """
    import mlx.core as mx

    logits = subject.logits
    expected = (subject.batch_size, subject.seq_len, subject.config.vocab_size)
    expect_shape("the logits", logits, expected)
    if not _is_finite(logits):
        raise CheckFailedError(f"{_first_bad_part(subject)} gives numbers that are not finite")
    largest = mx.abs(logits).max().item()
    return f"logits {expected}, all finite, largest {largest:.3g}"


def _is_finite(x: mx.array) -> bool:
    import mlx.core as mx

    return bool(mx.isfinite(x).all().item())


def _first_bad_part(subject: Subject) -> str:
    for name, output in _parts(subject):
        if not _is_finite(output):
            return name
    return "the output head"


def _parts(subject: Subject) -> Iterator[tuple[str, mx.array]]:
    """The residual stream after each part of the model, in order."""
    import mlx.core as mx

    transformer = subject.evaluated_model.transformer
    hidden = transformer.token_embeddings(subject.tokens)
    yield "the token embedding", hidden
    for index, layer in enumerate(transformer.layers):
        hidden = layer(hidden, "causal")
        mx.eval(hidden)
        yield f"layer {index}", hidden
    yield "the final norm", transformer.norm(hidden)
