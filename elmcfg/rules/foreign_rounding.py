"""ELM414: a list that another program's rounding made from a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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

# So near are two writings of the same number, and so far two decimals from what they round.
_SAME = 1e-9
_HALF = 0.005 + _SAME


def check(draft: Draft) -> Iterator[Violation]:
    """A straight line is rounded as CoreNet rounds it, where that makes a difference."""
    entries, n = draft.values.get("ffn_multipliers"), draft.layers
    d, divisor = draft.values.get("model_dim"), draft.get("ffn_dim_divisor")
    if entries is None or n is None or n < 3 or len(entries) != n or draft.ffn_widths is None:
        return
    if d is None or divisor is None:
        return
    line = schedule.multipliers((entries[0], entries[-1]), n)
    if line == tuple(entries):
        return
    rounding = _rounding(entries, n)
    if rounding is None:
        return
    widths = [ffn_dim(m, d, divisor) for m in line]
    differ = [i for i in range(n) if widths[i] != draft.ffn_widths[i]]
    if not differ:
        return
    i = differ[0]
    yield Violation(
        "ELM414",
        ("ffn_multipliers", i),
        f"layer {i}: ffn_multiplier {number(entries[i])} is the line from {number(entries[0])} to "
        f"{number(entries[-1])} {rounding}, and gives {draft.ffn_widths[i]:,} channels; CoreNet's "
        f"rounding gives {number(line[i])} and {widths[i]:,}{others(len(differ) - 1)}",
        f"write {number(line[i])}, or give the two ends alone, to mean what CoreNet means",
        label=f"CoreNet: {number(line[i])}",
    )


def _rounding(entries: Sequence[float], n: int) -> str | None:
    """How a list that is the line between its ends was rounded, in words."""
    exact = schedule.linspace(entries[0], entries[-1], n)
    off = max(abs(a - b) for a, b in zip(entries, exact, strict=True))
    if off < _SAME:
        return "without rounding to 2 decimals"
    if off < _HALF and all(round(m, 2) == m for m in entries):
        return "with its halves rounded the other way, as Python's round() has it"
    return None
