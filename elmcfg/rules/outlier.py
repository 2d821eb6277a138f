"""ELM403: one multiplier that breaks an otherwise monotone schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import MULTIPLIER_LISTS, Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import number

PAGE = Page(
    code="ELM403",
    name="outlier",
    severity=Severity.WARNING,
    what="""
        A list of multipliers rises (or falls) from layer to layer but for one entry inside it,
        which lies outside the range of its neighbours.
    """,
    why="""
        That is what a slip of the decimal point or a swapped pair looks like. Every program
        builds it without a word.
    """,
    bad="ffn_multipliers: [0.5, 0.73, 9.7, 1.2, 1.43]",
    good="ffn_multipliers: [0.5, 0.73, 0.97, 1.2, 1.43]",
    source="elmcfg",
)

_LEAST_LAYERS = 5


def check(draft: Draft) -> Iterator[Violation]:
    """A monotone schedule has no entry out of line."""
    for key in MULTIPLIER_LISTS:
        entries = draft.values.get(key)
        if entries is None or None in entries or len(entries) != draft.layers:
            continue
        layer = _outlier(entries)
        if layer is not None:
            before, value, after = entries[layer - 1 : layer + 2]
            yield Violation(
                "ELM403",
                (key, layer),
                f"layer {layer}: {key.removesuffix('s')} {number(value)} breaks an otherwise "
                f"monotone schedule ({number(before)} before, {number(after)} after)",
                f"is {_guess(before, value, after)} meant?",
                label="out of line",
            )


def _outlier(entries: Sequence[float]) -> int | None:
    """The one inner entry without which the inner entries are monotone.

    The ends are left out of it: framed schedules (arXiv 2509.06518) force them to another value.
    """
    n = len(entries)
    if n < _LEAST_LAYERS:
        return None
    inner = entries[1:-1]
    steps = [b - a for a, b in pairwise(inner)]
    up, down = sum(s > 0 for s in steps), sum(s < 0 for s in steps)
    if not (up and down) or min(up, down) > 1:
        return None
    sign = 1 if up > down else -1
    wrong = next(i for i, s in enumerate(steps) if sign * s < 0)
    for place in (wrong, wrong + 1):
        layer = place + 1
        rest = [*entries[1:layer], *entries[layer + 1 : -1]]
        monotone = all(sign * (b - a) >= 0 for a, b in pairwise(rest))
        low, high = sorted((entries[layer - 1], entries[layer + 1]))
        if len(rest) > 2 and monotone and not low <= entries[layer] <= high:
            return layer
    return None


def _guess(before: float, value: float, after: float) -> str:
    """What was meant: the value with its decimal point moved, or the middle."""
    low, high = sorted((before, after))
    moved = [value * factor for factor in (0.1, 10, 0.01, 100) if low <= value * factor <= high]
    return number(round(moved[0], 6) if moved else round((before + after) / 2, 2))
