"""The model can be trained: every tensor has a gradient, and a step along it lowers the loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from elmcfg.proof.subject import CheckFailedError, CheckSkippedError, Subject
from elmcfg.proof.tolerance import number

if TYPE_CHECKING:
    import mlx.core as mx

DECREASE = 0.1
"""What the step should lower the loss by, in nats, by the gradient's own account."""

LEAST_SHARE = 0.25
"""Share of that which the loss must fall by."""

_SHOWN = 2


def check(subject: Subject) -> str:
    """Take gradients on one fixed sequence, and one step of gradient descent along them.

    Each tensor moves against its gradient, as far as the gradient says is needed for it to
    contribute its part of a decrease of 0.1 nats. The loss must fall by a quarter of that at least:
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
    before = _descend(model, subject.short_tokens)
    subject.note("the loss after the step")
    after = number(_loss(model, subject.short_tokens))
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
    squares, moved = {}, {}
    for name, gradient in named.items():
        flat = gradient.T.reshape(-1)  # As matrix gradients lie in memory.
        squares[name] = mx.inner(flat, flat)
        moved[name] = weights[name] - gradient * (part / mx.maximum(squares[name], 1e-30))
    del gradients, gradient, flat, named, weights
    model.update(tree_unflatten(list(moved.items())))
    mx.eval(loss, squares, moved)
    _check_squares({name: number(square) for name, square in squares.items()})
    return number(loss)


def _check_squares(squares: dict[str, float]) -> None:
    bad = [f"{name} is not finite" for name, size in squares.items() if not math.isfinite(size)]
    bad += [f"{name} is zero" for name, size in squares.items() if size == 0]
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise CheckFailedError("gradient of " + "; ".join(bad[:_SHOWN]) + more)
