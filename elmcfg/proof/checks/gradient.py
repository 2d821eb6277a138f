"""The model can be trained: every tensor has a gradient, and a step along it lowers the loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from elmcfg.proof.subject import CheckFailedError, CheckSkippedError, Subject, some
from elmcfg.proof.tolerance import number

if TYPE_CHECKING:
    import mlx.core as mx

DECREASE = 0.1
"""What the step should lower the loss by, in nats, by the gradient's own account."""

TOKENS = 9
"""Of the sequence: eight to be predicted. Every tensor gets a gradient from two."""

LEAST_SHARE = 0.25
"""Share of that which the loss must fall by."""

_SHOWN = 2
_LEAST = 1e-30


def check(subject: Subject) -> str:
    """Take gradients on one fixed sequence, and one step of gradient descent along them.

    Each tensor moves against its gradient, as far as the gradient says is needed for it to
    contribute its part of a decrease of 0.1 nats; a matrix moves in the direction of one row and
    one column that its gradient is strong in. The loss must fall by a quarter of that at least:
    curvature takes some of it, and less means that the gradient is not the slope of the loss. The
    model keeps its new weights; this check runs last.

    Raises:
        CheckFailedError: Naming the tensors whose gradient is zero or not finite, or both losses.
        CheckSkippedError: If there is nothing to predict, or the dtype is too coarse for losses.
    """
    # The last token is predicted only, and one token alone has no use for queries and keys.
    if subject.seq_len < 3 or subject.config.vocab_size < 2:
        raise CheckSkippedError("needs three tokens of context and two of vocabulary")
    # The norm of a single channel is its sign, which no small step changes.
    if subject.config.model_dim < 2:
        raise CheckSkippedError("needs two channels")
    if subject.dtype != "float32":
        raise CheckSkippedError("needs float32: a small fall of the loss is rounded away")
    model: Any = subject.evaluated_model
    subject.note("gradients and a step along them")
    tokens = subject.short_tokens[:, :TOKENS]
    before = _descend(model, tokens)
    subject.note("the loss after the step")
    after = number(_loss(model, tokens))
    if not before - after >= LEAST_SHARE * DECREASE:
        raise CheckFailedError(
            f"a step along the gradient takes the loss from {before:.4f} to {after:.4f}, "
            f"not to about {before - DECREASE:.4f}"
        )
    return f"all finite, none zero; a step takes the loss from {before:.3f} to {after:.3f}"


def _loss(model: Any, tokens: mx.array) -> mx.array:
    import mlx.core as mx
    import mlx.nn as nn

    logits = model(tokens[:, :-1])
    return nn.losses.cross_entropy(logits.astype(mx.float32), tokens[:, 1:], reduction="mean")


def _descend(model: Any, tokens: mx.array) -> float:
    """Take one step in place; the loss before it.

    All in one graph, in which each gradient is dropped as soon as its tensor has moved: neither all
    gradients nor a second copy of the weights are ever held.
    """
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten, tree_unflatten

    loss, gradients = nn.value_and_grad(model, lambda rows: _loss(model, rows))(tokens)
    named = dict(tree_flatten(gradients))
    weights = dict(tree_flatten(model.trainable_parameters()))
    part = DECREASE / len(named)
    slopes, moved = {}, {}
    for name, gradient in named.items():
        slopes[name], moved[name] = _step(weights[name], gradient, part)
    del gradients, gradient, named, weights
    model.update(tree_unflatten(list(moved.items())))
    mx.eval(loss, slopes, moved)
    _check_slopes({name: number(slope) for name, slope in slopes.items()})
    return number(loss)


def _step(weight: mx.array, gradient: mx.array, part: float) -> tuple[mx.array, mx.array]:
    """A tensor moved so far that the loss should fall by ``part``, and the slope that says so.

    With a column l and a row r, the slope along the matrix l r' is the sum of (l r') * G, and for
    l = G r that is l . l. One step of power iteration finds an r that G is strong in. All of that
    are products of a matrix and a vector; arithmetic on the elements of G, whose memory is laid
    out the other way than the weight's, takes longer than the gradient itself.

    A gradient of nothing but zeros has the slope zero, and one with a number that is not finite
    has no finite slope.
    """
    import mlx.core as mx

    rows = gradient.reshape(-1, gradient.shape[-1])
    row = mx.random.normal((rows.shape[1],), key=mx.random.key(0))
    row = _scaled(_scaled(rows @ row) @ rows)
    column = rows @ row
    slope = mx.inner(column, column)
    column = column * (-part / mx.maximum(slope, _LEAST))
    moved = mx.addmm(weight.reshape(rows.shape), column[:, None], row[None])
    return slope, moved.reshape(weight.shape)


def _scaled(vector: mx.array) -> mx.array:
    """A vector of largest size 1, so that the squares of small gradients are not rounded to 0."""
    import mlx.core as mx

    return vector / mx.maximum(mx.abs(vector).max(), _LEAST)


def _check_slopes(slopes: dict[str, float]) -> None:
    bad = [f"{name} is not finite" for name, size in slopes.items() if not math.isfinite(size)]
    bad += [f"{name} is zero" for name, size in slopes.items() if size == 0]
    if bad:
        raise CheckFailedError("gradient of " + some(bad, _SHOWN, "; "))
