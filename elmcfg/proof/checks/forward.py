"""The model runs: logits of the right shape, every number finite and of a sane size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from elmcfg.proof.subject import CheckFailedError, Subject, expect_shape
from elmcfg.proof.tolerance import number

if TYPE_CHECKING:
    import mlx.core as mx

LEAST_SIZE, MOST_SIZE = 1e-6, 1e4
"""RMS that the residual stream may have: far above what rounds to nothing, and a few times below
65,504, the largest float16, which single numbers come to long before the mean does."""

NORM_TOLERANCE = 0.1
"""How far the RMS after the final norm may be from 1, or a little less where the stream is so small
that epsilon counts: the norm's weights are within 0.1 of 1 here."""


def check(subject: Subject) -> str:
    """Run one pass and look at every logit, at the size of every layer's output, and at the loss.

    Finite logits need finite layers: a NaN or an infinity in the residual stream stays in it,
    and the final norm makes it a NaN.

    The loss at initialisation. The final norm makes hidden states of RMS 1, so logits have a spread
    of s = ``initializer_range * sqrt(model_dim)`` whatever happens in between, and for a target
    that the model cannot know the expected loss lies between ln V (Jensen's inequality) and
    ln V + s^2 / 2 (the mean of exp of a Gaussian). The tolerance is four standard errors of the
    mean over the tokens, s / sqrt(tokens) each, and 5 % of s for the norm's own weights. A token's
    own logit, which a tied embedding raises, is left out.

    Returns:
        Shape and largest size of the logits, sizes of the layers' outputs, and the loss.

    Raises:
        CheckFailedError: Naming the first layer with a number that is not finite, or whose size
            is beyond :data:`LEAST_SIZE` or :data:`MOST_SIZE`, or the loss and its bounds.
    """
    import mlx.core as mx

    logits = subject.logits
    expected = (subject.batch_size, subject.seq_len, subject.config.vocab_size)
    expect_shape("the logits", logits, expected)
    if not _is_finite(logits):
        raise CheckFailedError(f"{_first_bad_part(subject)} gives numbers that are not finite")
    largest = mx.abs(logits).max().item()
    sizes = _check_sizes(subject)
    return (
        f"logits {expected}, all finite, largest {largest:.3g}; "
        f"layers' RMS {min(sizes):.2g} to {max(sizes):.2g}{_check_loss(subject)}"
    )


def _check_sizes(subject: Subject) -> list[float]:
    import mlx.core as mx

    sizes = []
    for name, stream in zip(_names(subject), subject.short_streams, strict=True):
        size = _rms(stream)
        if not LEAST_SIZE <= size <= MOST_SIZE:
            raise CheckFailedError(
                f"{name} gives an RMS of {size:.2g}, not {LEAST_SIZE:g} to {MOST_SIZE:g}"
            )
        sizes.append(size)
    last, eps = subject.short_streams[-1], subject.config.rms_norm_eps
    size = _rms(subject.evaluated_model.transformer.norm(last))
    last = last.astype(mx.float32)
    expected = _rms(last * mx.rsqrt((last**2).mean(axis=-1, keepdims=True) + eps))
    if not abs(size / expected - 1) <= NORM_TOLERANCE * 1.01:
        raise CheckFailedError(f"the final norm gives an RMS of {size:.3g}, not {expected:.3g}")
    return sizes


def _check_loss(subject: Subject) -> str:
    import mlx.core as mx

    vocabulary = subject.config.vocab_size
    if vocabulary < 3:
        return ""
    logits, own = subject.logits[0].astype(mx.float32), subject.tokens[0][:, None]
    count = logits.shape[0]
    # Another key than the tokens', and there is one for every seed.
    away = mx.random.randint(1, vocabulary, own.shape, key=mx.random.key(~subject.seed % 2**64))
    target = mx.take_along_axis(logits, (own + away) % vocabulary, axis=1)
    others = mx.put_along_axis(logits, own, mx.array(-math.inf), axis=1)
    loss = number((mx.logsumexp(others, axis=1, keepdims=True) - target).mean())
    spread = subject.config.initializer_range * math.sqrt(subject.config.model_dim)
    least, slack = math.log(vocabulary - 1), spread * (4 / math.sqrt(count) + 0.05)
    most = least + spread**2 / 2
    if not least - slack <= loss <= most + slack:
        raise CheckFailedError(
            f"the loss on random targets is {loss:.3f}, not {least - slack:.3f} to "
            f"{most + slack:.3f}: the model is sure of what it cannot know"
        )
    return f"; loss {loss:.2f}, ln(vocabulary) is {math.log(vocabulary):.2f}"


def _is_finite(x: mx.array) -> bool:
    import mlx.core as mx

    return bool(mx.isfinite(x).all().item())


def _rms(x: mx.array) -> float:
    import mlx.core as mx

    return number(mx.sqrt((x.astype(mx.float32) ** 2).mean()))


def _first_bad_part(subject: Subject) -> str:
    for name, output in _parts(subject):
        if not _is_finite(output):
            return name
    return "the output head"


def _parts(subject: Subject) -> Iterator[tuple[str, mx.array]]:
    """The residual stream after each part of the model, in order."""
    import mlx.core as mx

    transformer = subject.evaluated_model.transformer
    embedding, *layers = _names(subject)
    hidden = transformer.token_embeddings(subject.tokens)
    yield embedding, hidden
    for name, layer in zip(layers, transformer.layers, strict=True):
        subject.note(name)
        hidden = layer(hidden, "causal")
        mx.eval(hidden)
        yield name, hidden
    yield "the final norm", transformer.norm(hidden)


def _names(subject: Subject) -> list[str]:
    return ["the token embedding", *(f"layer {each.index}" for each in subject.shape.layers)]
