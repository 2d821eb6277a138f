"""ELM404: a schedule whose steps the divisor swallows."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import count

PAGE = Page(
    code="ELM404",
    name="plateaus",
    severity=Severity.INFO,
    what="""
        ffn_multipliers take over twice as many values as the widths that they are rounded to:
        most layers are as wide as their neighbour.
    """,
    why="""
        The divisor is too coarse for this schedule, so a change of a multiplier mostly changes
        nothing. A plateau now and then is legitimate (layers 13 and 14 of OpenELM-1.1B are both
        4,608 wide), and head counts always come in plateaus, so those are not looked at.
    """,
    bad="""
        model_dim: 256
        ffn_dim_divisor: 256
        ffn_multipliers: [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    """,
    good="""
        model_dim: 256
        ffn_dim_divisor: 32
        ffn_multipliers: [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    """,
    source="apple/OpenELM-1_1B config.json",
)


def check(draft: Draft) -> Iterator[Violation]:
    """Different multipliers mostly make different widths."""
    multipliers, widths = draft.ffn_multipliers, draft.ffn_widths
    if multipliers is None or widths is None:
        return
    asked, got = len(set(multipliers)), len(set(widths))
    if asked <= 2 * got:
        return
    divisor = draft.get("ffn_dim_divisor")
    yield Violation(
        "ELM404",
        ("ffn_multipliers",),
        f"{count(asked, 'different multiplier')} give only {count(got, 'different width')}: "
        f"ffn_dim_divisor {divisor} swallows the steps between layers",
        "use a smaller ffn_dim_divisor, or a wider range of multipliers",
        ((("ffn_dim_divisor",), "divisor"),) if "ffn_dim_divisor" in draft.values else (),
    )
