"""ELM301: query heads given twice, as a list and as a recipe, and not the same."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import count, others

PAGE = Page(
    code="ELM301",
    name="query-heads-disagree",
    severity=Severity.ERROR,
    what="""
        The file gives the query heads twice, as a list and as a recipe (qkv_multipliers with
        num_gqa_groups), and the two say different things. Where num_gqa_groups is missing, other
        programs take 1. Where another program's rounding of the
        same recipe gives exactly this list, or another recipe does, the remedy names it.
    """,
    why="""
        Programs choose differently: mlx-lm and llama.cpp take the list, the hub's remote code
        (apple/OpenELM) recomputes the heads from the recipe and ignores the list. The same file
        then builds two different models. Hand-edited configs nearly always have this fault.
    """,
    bad="""
        num_transformer_layers: 2
        model_dim: 1280
        head_dim: 64
        num_gqa_groups: 4
        qkv_multipliers: [0.5, 1.0]
        num_query_heads: [16, 20]      # the recipe gives 12, 20
        num_kv_heads: [4, 5]
    """,
    good="""
        num_query_heads: [12, 20]
        num_kv_heads: [3, 5]
    """,
    source="apple/OpenELM configuration_openelm.py; mlx-lm models/openelm.py",
)

# The default of num_gqa_groups in the hub's code and in CoreNet: each query head has its KV head.
_USUAL = 1


def check(draft: Draft) -> Iterator[Violation]:
    """The list of query heads says what the recipe says."""
    heads, multipliers = draft.values.get("num_query_heads"), draft.qkv_multipliers
    # What other programs take where the key is missing; None is a value that cannot be used.
    groups = draft.values.get("num_gqa_groups", _USUAL)
    wanted = None if groups is None else draft.recipe_heads_for(groups)
    if heads is None or wanted is None or multipliers is None or len(heads) != draft.layers:
        return
    differ = [i for i, q in enumerate(heads) if q is not None and q != wanted[i]]
    if not differ:
        return
    i = differ[0]
    missing = "" if "num_gqa_groups" in draft.values else "; num_gqa_groups is missing"
    yield Violation(
        "ELM301",
        ("num_query_heads", i),
        f"layer {i}: num_query_heads is {heads[i]}, but the recipe gives {wanted[i]} "
        f"(qkv_multiplier {multipliers[i]:g}, {count(groups, 'query')} per KV head{missing})"
        f"{others(len(differ) - 1)}",
        f"use {wanted[i]}, or {_explanation(draft, groups)}; mlx-lm would build the list, "
        "the hub's code the recipe",
        ((("qkv_multipliers",), "recipe"),),
        label=f"recipe says {wanted[i]}",
    )


def _groups_of_lists(draft: Draft) -> int | None:
    """Return the num_gqa_groups that the two lists have, where it is the same in all layers."""
    pairs = zip(draft.heads or (), draft.kv_heads or (), strict=False)
    ratios = {q // kv if q and kv and q % kv == 0 else None for q, kv in pairs}
    return ratios.pop() if len(ratios) == 1 else None


def _explanation(draft: Draft, groups: int) -> str:
    """What would give the list as it stands: another rounding, another recipe, or nothing."""
    # Imported here: only a file with this fault needs it.
    from elmcfg.roundings import rounding_of_heads
    from elmcfg.straight_lines import heads_line

    values = draft.values
    heads, points = values["num_query_heads"], values["qkv_multipliers"]
    if None in heads:
        return "change qkv_multipliers"
    if "num_gqa_groups" not in values:
        groups = _groups_of_lists(draft) or groups
        if draft.recipe_heads_for(groups) == heads:
            return f"add num_gqa_groups: {groups}, which gives this list"
        return "remove qkv_multipliers"
    shape = (values["model_dim"], values["head_dim"], groups)
    rounding = None if values.get("schedule") else rounding_of_heads(heads, points, *shape)
    if rounding is not None:
        return f"keep the list and drop the recipe: the list is this recipe with {rounding}"
    line = heads_line(heads, *shape)
    if line.departure is not None:
        return "change qkv_multipliers"
    return f"set qkv_multipliers to {list(line.points)}, which gives this list"
