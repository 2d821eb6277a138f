"""The checks by name. An explicit list: what it holds is what runs, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from elmcfg.proof.checks import cache, forward, parameters, shapes
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
        "one pass over random tokens gives finite numbers in every layer",
        True,
        forward.check,
    ),
    Check(
        "cache",
        "prefill and decoding with a KV cache give the logits of one pass without it",
        True,
        cache.check,
    ),
)
