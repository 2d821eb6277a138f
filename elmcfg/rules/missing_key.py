"""ELM101: a key that the model cannot be built without.

That a single key is there is checked by :mod:`elmcfg.config`; the attention heads, which may be
given in two ways, are checked here.
"""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import HEAD_LISTS, Draft
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM101",
    name="missing-key",
    severity=Severity.ERROR,
    what="""
        A key that the model cannot be built without is absent. Needed are num_transformer_layers,
        model_dim, head_dim, vocab_size, ffn_multipliers, and the attention heads: either the two
        lists num_query_heads and num_kv_heads, or the recipe for them, qkv_multipliers and
        num_gqa_groups.
    """,
    why="""
        mlx-lm stops at a TypeError that names no file; the hub's code silently takes a default
        (model_dim 2048, 12 layers) and builds another model.
    """,
    bad="""
        num_query_heads: [12, 16]      # and no num_kv_heads
    """,
    good="""
        num_query_heads: [12, 16]
        num_kv_heads: [3, 4]
    """,
    source="mlx-lm models/openelm.py; apple/OpenELM configuration_openelm.py",
)


def check(draft: Draft) -> Iterator[Violation]:
    """The heads come from the two lists together, or from the recipe."""
    values = draft.values
    absent = [key for key in HEAD_LISTS if key not in values]
    if not absent:
        return
    if len(absent) == 1:
        given = next(key for key in HEAD_LISTS if key not in absent)
        yield Violation(
            "ELM101",
            (given,),
            f"{absent[0]} is missing, but {given} is given: the two lists belong together",
            f"add {absent[0]}, or remove {given} and give qkv_multipliers and num_gqa_groups",
        )
        return
    missing = [key for key in ("qkv_multipliers", "num_gqa_groups") if key not in values]
    if len(missing) == 2:
        yield Violation(
            "ELM101",
            (),
            "the attention heads are missing: neither num_query_heads and num_kv_heads nor "
            "qkv_multipliers and num_gqa_groups are given",
            "add the recipe, for example qkv_multipliers: [0.5, 1.0] and num_gqa_groups: 4",
        )
    elif missing:
        without_multipliers = missing == ["qkv_multipliers"]
        given = "num_gqa_groups" if without_multipliers else "qkv_multipliers"
        example = "qkv_multipliers: [0.5, 1.0]" if without_multipliers else "num_gqa_groups: 4"
        yield Violation(
            "ELM101",
            (given,),
            f"{missing[0]} is missing: without it {given} gives no head counts",
            f"add {missing[0]}, for example {example}",
        )
