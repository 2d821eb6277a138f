"""ELM414: a list that another program's rounding made from a recipe."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg import schedule
from elmcfg.diagnostics import Severity, Violation
from elmcfg.geometry import ffn_dim
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import number, others

PAGE = Page(
    code="ELM414",
    name="foreign-rounding",
    severity=Severity.INFO,
    what="""
        ffn_multipliers is the straight line between its ends, but rounded otherwise than CoreNet
        rounds, and some layer gets another width by it.
    """,
    why="""
        The list stands, and every program that reads lists builds it; but the recipe (the two
        ends) gives another model in CoreNet and in the hub's code. For the released range
        Python's round() differs from numpy's at 21, 41, 61 and 81 layers.
    """,
    bad="""
        num_transformer_layers: 21
        model_dim: 1152
        ffn_multipliers: [0.5, 0.68, ..., 2.78, ..., 4.0]     # layer 13: 3072 channels
    """,
    good="""
        num_transformer_layers: 21
        model_dim: 1152
        ffn_multipliers: [0.5, 4.0]                           # layer 13: 3328 channels
    """,
    source="apple/corenet general_gpt.py (round of numpy.float64)",
)

# Two decimals rounded some other way lie this near to the line; a hand-edited list does not.
_NEAR = 0.0101


def check(draft: Draft) -> Iterator[Violation]:
    """A straight line is rounded as CoreNet rounds it, where that makes a difference."""
    entries, n = draft.values.get("ffn_multipliers"), draft.layers
    d, divisor = draft.values.get("model_dim"), draft.get("ffn_dim_divisor")
    if entries is None or n is None or n < 3 or len(entries) != n or None in entries:
        return
    if d is None or divisor is None or draft.ffn_widths is None:
        return
    line = schedule.multipliers((entries[0], entries[-1]), n)
    if line == tuple(entries) or any(
        abs(m - wanted) > _NEAR for m, wanted in zip(entries, line, strict=True)
    ):
        return
    widths = [ffn_dim(m, d, divisor) for m in line]
    differ = [i for i in range(n) if widths[i] != draft.ffn_widths[i]]
    if not differ:
        return
    i = differ[0]
    yield Violation(
        "ELM414",
        ("ffn_multipliers", i),
        f"layer {i}: ffn_multiplier {number(entries[i])} gives {draft.ffn_widths[i]:,} channels; "
        f"CoreNet's rounding of the line from {number(entries[0])} to {number(entries[-1])} gives "
        f"{number(line[i])} and {widths[i]:,}{others(len(differ) - 1)}",
        f"write {number(line[i])}, or give the two ends alone, to mean what CoreNet means",
        label=f"CoreNet: {number(line[i])}",
    )
