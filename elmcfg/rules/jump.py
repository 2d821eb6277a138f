"""ELM405: a step in a monotone list that dwarfs all others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import MULTIPLIER_LISTS, Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import number

PAGE = Page(
    code="ELM405",
    name="jump",
    severity=Severity.WARNING,
    what="""
        A list of multipliers rises (or falls) all the way, and one step is over five times as
        large as any other.
    """,
    why="""
        An even schedule with one giant step is a misplaced decimal point at its end (4.0 written
        as 40) far more often than a design. Lists with plateaus, such as [1, 1, 4, 4], are left
        alone.
    """,
    bad="ffn_multipliers: [0.5, 1.0, 1.5, 20.0]",
    good="ffn_multipliers: [0.5, 1.0, 1.5, 2.0]",
    source="elmcfg",
)

_LEAST_LAYERS = 4
_MOST = 5.0


def check(draft: Draft) -> Iterator[Violation]:
    """The steps of a monotone schedule are of one size."""
    for key in MULTIPLIER_LISTS:
        entries = draft.values.get(key)
        if entries is None or None in entries or len(entries) != draft.layers:
            continue
        steps = [b - a for a, b in pairwise(entries)]
        if len(entries) < _LEAST_LAYERS or not (min(steps) > 0 or max(steps) < 0):
            continue
        *_, second, largest = sorted(abs(step) for step in steps)
        if largest > _MOST * second:
            layer = next(i for i, step in enumerate(steps) if abs(step) == largest) + 1
            yield Violation(
                "ELM405",
                (key, layer),
                f"layer {layer}: {key.removesuffix('s')} jumps from {number(entries[layer - 1])} "
                f"to {number(entries[layer])}, {largest / second:.0f} times the next largest step",
                "is the decimal point where it belongs?",
                label="jump",
            )
