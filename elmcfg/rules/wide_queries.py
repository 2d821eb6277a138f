"""ELM406: queries wider than the model."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import count, others

PAGE = Page(
    code="ELM406",
    name="wide-queries",
    severity=Severity.INFO,
    what="""
        The query heads of a layer are together wider than model_dim by more than the multiplier
        asks for, or, where only lists are given, wider than model_dim.
    """,
    why="""
        It works, but most parameters of the projection are then beyond the rank of its input. It
        comes about unasked: at model_dim 576, head_dim 64 and 4 queries per KV head a multiplier
        of 1.0 gives 12 heads, 768 channels.
    """,
    bad="""
        model_dim: 576
        head_dim: 64
        num_query_heads: [12]
        num_kv_heads: [3]
    """,
    good="""
        model_dim: 576
        head_dim: 64
        num_query_heads: [9]
        num_kv_heads: [3]
    """,
    source="apple/corenet general_gpt.py (rounding to head_dim * num_gqa_groups)",
)


def check(draft: Draft) -> Iterator[Violation]:
    """Query heads fit into model_dim, unless wider ones were asked for."""
    heads, asked = draft.heads, draft.qkv_multipliers
    d, h = draft.values.get("model_dim"), draft.values.get("head_dim")
    if heads is None or d is None or h is None or max(heads) * h <= d:
        return
    wide = [i for i, q in enumerate(heads) if q * h > d and (asked is None or asked[i] <= 1)]
    if not wide:
        return
    i = wide[0]
    listed = "num_query_heads" in draft.values
    yield Violation(
        "ELM406",
        ("num_query_heads", i) if listed else ("qkv_multipliers",),
        f"layer {i}: {heads[i]} query heads of {h} are {heads[i] * h:,} channels, more than "
        f"model_dim, {d:,}{others(len(wide) - 1)}",
        f"{count(d // h, 'head')} of {h} would fit" if d >= h else "use a smaller head_dim",
        ((("model_dim",), f"{d:,} channels"),),
    )
