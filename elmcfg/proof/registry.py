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
        tolerance: How far off it may be, and where that comes from.
    """

    name: str
    description: str
    needs_weights: bool
    run: Callable[[Subject], str]
    tolerance: str


_ROUNDING = (
    "1e-4 of the largest number in float32, 5e-2 in float16, 1e-1 in bfloat16: "
    "fifty times the rounding seen on OpenELM-270M"
)

CHECKS: tuple[Check, ...] = (
    Check(
        "parameters",
        "every tensor has the checkpoint's name and shape, and their count is the closed form's",
        False,
        parameters.check,
        "exact",
    ),
    Check(
        "shapes",
        "every layer's outputs and cache and the logits have the right shape, nothing evaluated",
        False,
        shapes.check,
        "exact",
    ),
    Check(
        "forward",
        "one pass gives finite numbers of a sane size, and the loss of a model that knows nothing",
        True,
        forward.check,
        "loss between ln V and ln V + s^2 / 2 for logits of spread s, and four standard errors",
    ),
    Check(
        "reference",
        "every layer computes what the papers' formulas, written out plainly, say",
        True,
        reference.check,
        _ROUNDING,
    ),
    Check(
        "causality",
        "changing a token changes no earlier logit",
        True,
        causality.check,
        _ROUNDING,
    ),
    Check(
        "position",
        "the order of earlier tokens matters to every layer's attention: RoPE is on",
        True,
        position.check,
        "at least 1e-5 of the output: with RoPE it is several per cent, without rounding, 1e-7",
    ),
    Check(
        "cache",
        "passes in pieces with a KV cache give the logits of one pass without it",
        True,
        cache.check,
        _ROUNDING,
    ),
    Check(
        "batch",
        "a row's logits depend neither on its neighbours nor on padding",
        True,
        batch.check,
        _ROUNDING,
    ),
    Check(
        "generation",
        "greedy decoding chooses the same tokens with and without a cache; how fast it is",
        True,
        generation.check,
        "exact, where the two best logits are further apart than rounding",
    ),
    Check(
        "dtypes",
        "float32, bfloat16 and float16 agree, and no layer changes the dtype",
        True,
        dtypes.check,
        _ROUNDING,
    ),
    Check(
        "quantization",
        "MLX quantizes every matrix that it can; the others are named; how far it is off",
        True,
        quantization.check,
        "exact; 5 % in 8 bits, 50 % in 4: steps of 0.4 % and 6.7 %, four products deep",
    ),
    Check(
        "save-load",
        "tensors come back from disk bit by bit, and mlx-lm computes the same from them",
        True,
        save_load.check,
        "bits exact; mlx-lm's logits to rounding",
    ),
    Check(
        "gradient",
        "every tensor gets a finite gradient that is not zero, and following it lowers the loss",
        True,
        gradient.check,
        "a quarter of the fall that the gradient promises: curvature takes some",
    ),
)
