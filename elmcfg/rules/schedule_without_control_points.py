"""ELM303: options of a schedule that apply to nothing."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg import schedule
from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import MULTIPLIER_LISTS, Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM303",
    name="schedule-without-control-points",
    severity=Severity.ERROR,
    what="""
        The key schedule says how control points are expanded (rounding, framing), but neither
        qkv_multipliers nor ffn_multipliers holds control points that it would apply to.
    """,
    why="""
        It would be silently ignored; remove it, or give control points instead of a full list.
    """,
    bad="""
        num_transformer_layers: 3
        ffn_multipliers: [1.0, 2.0, 3.0]
        schedule: {decimals: null}
    """,
    good="""
        num_transformer_layers: 3
        ffn_multipliers: [1.0, 3.0]
        schedule: {decimals: null}
    """,
    source="elmcfg",
)


def check(draft: Draft) -> Iterator[Violation]:
    """Options of the schedule are given only where control points are there to use them."""
    n, options = draft.layers, draft.values.get("schedule") or {}
    plain = {"decimals": schedule.RELEASED_DECIMALS}
    if n is None or all(value == plain.get(option) for option, value in options.items()):
        return
    given = [draft.values[key] for key in MULTIPLIER_LISTS if draft.values.get(key) is not None]
    if given and all(len(entries) == n for entries in given):
        yield Violation(
            "ELM303",
            ("schedule",),
            "schedule has no effect: every multiplier list has one entry per layer already",
            "remove schedule, or give control points, for example ffn_multipliers: [0.5, 4.0]",
        )
