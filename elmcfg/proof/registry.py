"""The checks by name. An explicit list: what it holds is what runs, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from elmcfg.proof.checks import (
    batch,
    cache,
    causality,
    dtypes,
    forward,
    generation,
    gradient,
    parameters,
    position,
    quantization,
    reference,
    save_load,
    shapes,
)
from elmcfg.proof.subject import Subject


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check.

    Attributes:
        name: What ``--check`` and ``--skip`` call it.
        description: What it proves, in one line.
        needs_weights: Whether the weights must be computed, and the model run; those that do not
            cost neither time nor memory.
        run: The check; returns a line of detail, or raises.
    """

    name: str
    description: str
    needs_weights: bool
    run: Callable[[Subject], str]


CHECKS: tuple[Check, ...] = (
    Check(
        "parameters",
        "every tensor has the checkpoint's name and shape, and their count is the closed form's",
        False,
        parameters.check,
    ),
    Check(
        "shapes",
        "every layer's outputs and cache and the logits have the right shape, nothing evaluated",
        False,
        shapes.check,
    ),
    Check(
        "forward",
        "one pass gives finite numbers of a sane size, and the loss of a model that knows nothing",
        True,
        forward.check,
    ),
    Check(
        "reference",
        "every layer computes what the papers' formulas, written out plainly, say",
        True,
        reference.check,
    ),
    Check(
        "causality",
        "changing a token changes no earlier logit",
        True,
        causality.check,
    ),
    Check(
        "position",
        "the order of earlier tokens matters to every layer's attention: RoPE is on",
        True,
        position.check,
    ),
    Check(
        "cache",
        "passes in pieces with a KV cache give the logits of one pass without it",
        True,
        cache.check,
    ),
    Check(
        "batch",
        "a row's logits depend neither on its neighbours nor on padding",
        True,
        batch.check,
    ),
    Check(
        "generation",
        "greedy decoding chooses the same tokens with and without a cache; how fast it is",
        True,
        generation.check,
    ),
    Check(
        "dtypes",
        "float32, bfloat16 and float16 agree, and no layer changes the dtype",
        True,
        dtypes.check,
    ),
    Check(
        "quantization",
        "MLX quantizes every matrix that it can; the others are named; how far it is off",
        True,
        quantization.check,
    ),
    Check(
        "save-load",
        "tensors come back from disk bit by bit, and mlx-lm computes the same from them",
        True,
        save_load.check,
    ),
    Check(
        "gradient",
        "every tensor gets a finite gradient that is not zero, and following it lowers the loss",
        True,
        gradient.check,
    ),
)
