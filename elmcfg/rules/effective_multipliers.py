"""ELM402: a schedule that rounding has moved as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import number

PAGE = Page(
    code="ELM402",
    name="effective-multipliers",
    severity=Severity.INFO,
    what="""
        Over all layers, the widths that a schedule gets are over 10 % more than it asks for.
    """,
    why="""
        Rounding moves every width a little; where all of it goes one way, the model is larger
        than the multipliers say, and two schedules that should cost the same do not. The released
        models get 0 to 5 % more than they ask for, those of arXiv 2509.06518 about 7 % more
        attention.
    """,
    bad="""
        model_dim: 576
        head_dim: 64
        num_gqa_groups: 4
        qkv_multipliers: [0.5, 1.0]    # a mean of 0.93 model widths in place of 0.75
    """,
    good="""
        model_dim: 576
        head_dim: 64
        num_gqa_groups: 1
        qkv_multipliers: [0.5, 1.0]
    """,
    source="apple/corenet math_utils.py (make_divisible)",
)

_MOST = 1.1


def check(draft: Draft) -> Iterator[Violation]:
    """A schedule gets about what it asks for."""
    d = draft.values.get("model_dim")
    if d is None:
        return
    if draft.ffn_widths is not None and draft.ffn_multipliers is not None:
        yield from _one("ffn_multipliers", draft.ffn_multipliers, sum(draft.ffn_widths), d)
    if draft.recipe_heads is not None and draft.qkv_multipliers is not None:
        total = sum(draft.recipe_heads) * draft.values["head_dim"]
        yield from _one("qkv_multipliers", draft.qkv_multipliers, total, d)


def _one(key: str, multipliers: Sequence[float], total: int, d: int) -> Iterator[Violation]:
    asked = sum(multipliers) * d
    if total <= _MOST * asked:
        return
    n = len(multipliers)
    yield Violation(
        "ELM402",
        (key,),
        f"{key} ask for {number(asked / d / n)} model widths on average, and get "
        f"{number(total / d / n)}, {total / asked - 1:.0%} more",
        "'elmcfg show' lists asked and got for every layer; a smaller divisor brings them together",
        label=f"{total / asked - 1:.0%} more",
    )
