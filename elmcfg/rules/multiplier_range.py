"""ELM205: a multiplier out of range.

That each number given is in range is checked by :mod:`elmcfg.config`; what rounding makes of it,
here.
"""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM205",
    name="multiplier-range",
    severity=Severity.ERROR,
    what="""
        A multiplier is a finite number above zero, and below 1,000, beyond which nothing can be
        built; nor is it rounded to zero by the schedule's decimals.
    """,
    why="""
        mlx-lm silently gives a layer with a multiplier of zero or less one divisor of width.
    """,
    bad="ffn_multipliers: [0.5, -0.73, 0.97]",
    good="ffn_multipliers: [0.5, 0.73, 0.97]",
    source="mlx-lm models/openelm.py (make_divisible)",
)


def check(draft: Draft) -> Iterator[Violation]:
    """No multiplier is rounded to zero."""
    for key, expanded in draft.expanded.items():
        if expanded and 0 in expanded:
            layer = expanded.index(0)
            yield Violation(
                "ELM205",
                (key,),
                f"layer {layer}: {key} is rounded to 0",
                "use larger multipliers, or more decimals in schedule",
            )
