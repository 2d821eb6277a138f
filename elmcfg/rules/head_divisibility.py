"""ELM203: query heads that their KV heads do not divide."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import count

PAGE = Page(
    code="ELM203",
    name="head-divisibility",
    severity=Severity.ERROR,
    what="""
        In each layer num_query_heads must be a multiple of num_kv_heads: in grouped-query
        attention every KV head serves equally many query heads.
    """,
    why="""
        mlx-lm builds such a model and fails at its first forward pass; CoreNet stops at an
        assertion.
    """,
    bad="""
        num_query_heads: [18]
        num_kv_heads: [4]
    """,
    good="""
        num_query_heads: [16]
        num_kv_heads: [4]
    """,
    source="arXiv 2305.13245; apple/corenet general_gpt.py",
)


def check(draft: Draft) -> Iterator[Violation]:
    """In each layer the query heads are a multiple of the KV heads."""
    heads, kv_heads = draft.values.get("num_query_heads"), draft.values.get("num_kv_heads")
    if heads is None or kv_heads is None:
        return
    for layer, (q, kv) in enumerate(zip(heads, kv_heads, strict=False)):
        if q is None or kv is None or q % kv == 0:
            continue
        below, above = q // kv * kv, (q // kv + 1) * kv
        choices = f"{below} or {above}" if below else f"{above}"
        yield Violation(
            "ELM203",
            ("num_query_heads", layer),
            f"layer {layer}: num_query_heads is {q}, which is not a multiple of num_kv_heads, {kv}",
            f"use {choices} query heads, or a number of KV heads that divides {q}",
            ((("num_kv_heads", layer), f"{count(kv, 'KV head')}"),),
            label=f"{count(q, 'query head')}",
        )
