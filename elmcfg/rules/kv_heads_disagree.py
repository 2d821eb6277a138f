"""ELM302: KV heads that are not the query heads divided by num_gqa_groups."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import others

PAGE = Page(
    code="ELM302",
    name="kv-heads-disagree",
    severity=Severity.ERROR,
    what="""
        The list num_kv_heads disagrees with num_gqa_groups. In every layer num_kv_heads =
        num_query_heads / num_gqa_groups.
    """,
    why="""
        Despite its name, CoreNet's num_gqa_groups is the number of query heads that share one KV
        head, not a number of groups. CoreNet makes the KV heads from it; mlx-lm, llama.cpp and
        the hub's code take the list.
    """,
    bad="""
        num_gqa_groups: 4
        num_query_heads: [12]
        num_kv_heads: [4]
    """,
    good="""
        num_gqa_groups: 4
        num_query_heads: [12]
        num_kv_heads: [3]
    """,
    source="apple/corenet general_gpt.py (GPTConfig.__post_init__)",
)


def check(draft: Draft) -> Iterator[Violation]:
    """The list of KV heads is the list of query heads divided by num_gqa_groups."""
    heads, kv_heads = draft.values.get("num_query_heads"), draft.values.get("num_kv_heads")
    groups = draft.values.get("num_gqa_groups")
    if groups is None or heads is None or kv_heads is None or draft.layers is None:
        return
    if len(kv_heads) != len(heads):
        return
    differ = [
        i
        for i, (q, kv) in enumerate(zip(heads, kv_heads, strict=True))
        # Where the pair does not divide at all, ELM203 has said so already.
        if q is not None and kv is not None and q != kv * groups and q % kv == 0
    ]
    if not differ:
        return
    i = differ[0]
    per_head = heads[i] // kv_heads[i]
    yield Violation(
        "ELM302",
        ("num_kv_heads", i),
        f"layer {i}: num_kv_heads is {kv_heads[i]}, which makes {per_head} queries per KV "
        f"head where num_gqa_groups says {groups}{others(len(differ) - 1)}",
        f"use num_kv_heads = num_query_heads / num_gqa_groups, or set num_gqa_groups to "
        f"{per_head} (it is the number of query heads per KV head)",
        ((("num_gqa_groups",), f"{groups} queries per KV head"),),
        label=f"{heads[i]} / {kv_heads[i]} = {per_head}",
    )
