"""ELM401: a width that rounding made over half as large again as its multiplier asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import number, others

PAGE = Page(
    code="ELM401",
    name="inflated-multiplier",
    severity=Severity.WARNING,
    what="""
        Rounding makes a layer over half as wide again as its multiplier asks for: a width is
        never below one divisor, and where rounding to the nearest multiple would lose over 10 % a
        whole divisor is added.
    """,
    why="""
        The layer costs what nobody asked for. In the released models no layer is inflated by more
        than 20 %, in the 18-layer models of arXiv 2509.06518 none by more than 34 %. A smaller
        divisor (ffn_dim_divisor, or fewer queries per KV head) or a rounder multiplier avoids it.
    """,
    bad="""
        model_dim: 576
        ffn_dim_divisor: 256
        ffn_multipliers: [0.5]         # 288 channels become 512: + 78 %
    """,
    good="""
        model_dim: 576
        ffn_dim_divisor: 64
        ffn_multipliers: [0.5]         # 320 channels
    """,
    source="apple/corenet math_utils.py (make_divisible)",
)

_MOST = 1.5


def check(draft: Draft) -> Iterator[Violation]:
    """No width is over half as large again as asked for."""
    d, h = draft.values.get("model_dim"), draft.values.get("head_dim")
    if d is None:
        return
    if draft.ffn_widths is not None and draft.ffn_multipliers is not None:
        divisor = draft.get("ffn_dim_divisor")
        advice = f"use a smaller ffn_dim_divisor than {divisor}, or a multiplier nearer to it"
        yield from _one(
            draft, "ffn_multipliers", draft.ffn_multipliers, draft.ffn_widths, d, divisor, advice
        )
    if h is not None and draft.recipe_heads is not None and draft.qkv_multipliers is not None:
        divisor = h * draft.values["num_gqa_groups"]
        widths = [q * h for q in draft.recipe_heads]
        advice = "use fewer queries per KV head (num_gqa_groups), or a smaller head_dim"
        yield from _one(draft, "qkv_multipliers", draft.qkv_multipliers, widths, d, divisor, advice)


def _one(
    draft: Draft,
    key: str,
    multipliers: Sequence[float],
    widths: Sequence[int],
    d: int,
    divisor: int,
    advice: str,
) -> Iterator[Violation]:
    bound = _MOST * d
    inflated = [i for i, m in enumerate(multipliers) if widths[i] > bound * m]
    if not inflated:
        return
    i = inflated[0]
    asked = multipliers[i] * d
    more = widths[i] / asked - 1
    cause = "one divisor, the least" if widths[i] == divisor else "the 10 % rule"
    listed = len(draft.values[key]) == draft.layers
    yield Violation(
        "ELM401",
        (key, i) if listed else (key,),
        f"layer {i}: {key.removesuffix('s')} {number(multipliers[i])} asks for {number(asked)} "
        f"channels and gets {widths[i]:,}, {more:.0%} more ({cause}){others(len(inflated) - 1)}",
        advice,
        label=f"effectively {number(widths[i] / d)}",
    )
