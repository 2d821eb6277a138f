"""The cross-field rules of a config, each written once, over plain values.

Two callers need the same rules. :class:`elmcfg.config.Config` applies them, so that a config that
exists is valid. The linter applies them to whatever part of a broken document is usable, so that
a typo in one key does not hide a bad list. So they take ``values``, a mapping that holds only keys
whose value has passed its own type and range, and yield nothing where they lack what they need. An
entry of a list that did not pass is ``None``.

Each rule is a module of :mod:`elmcfg.rules`. Rules about one field alone (type, range) stand in the
field itself, where the JSON Schema gets them from.
"""

from __future__ import annotations

from elmcfg.diagnostics import Violation
<<<<<<< HEAD
from elmcfg.rules import (
    Check,
=======
from elmcfg.geometry import query_heads

Values = Mapping[str, Any]
Rule = Callable[[Values], Iterator[Violation]]

HEAD_LISTS = ("num_query_heads", "num_kv_heads")
MULTIPLIER_LISTS = ("qkv_multipliers", "ffn_multipliers")


def _count(number: int, noun: str) -> str:
    irregular = {"entry": "entries"}
    return f"{number} {noun if number == 1 else irregular.get(noun, noun + 's')}"


def _layers(first: int, last: int) -> str:
    return f"layer {first}" if first == last else f"layers {first} to {last}"


def list_lengths(values: Values) -> Iterator[Violation]:
    """Every per-layer list has one entry per layer; shorter multipliers may be control points."""
    n = values.get("num_transformer_layers")
    if n is None:
        return
    for key in HEAD_LISTS + MULTIPLIER_LISTS:
        entries = values.get(key)
        if entries is None or len(entries) == n:
            continue
        length = len(entries)
        message = f"{key} has {_count(length, 'entry')} for {_count(n, 'layer')}"
        related = ((("num_transformer_layers",), f"{_count(n, 'layer')} here"),)
        if length > n:
            surplus = length - n
            yield Violation(
                "ELM201",
                (key, n),
                message,
                f"remove the last {_count(surplus, 'entry') if surplus > 1 else 'entry'}, or set "
                f"num_transformer_layers to {length}; mlx-lm would silently ignore the tail",
                related,
                label="first surplus entry",
            )
        elif key in HEAD_LISTS:
            yield Violation(
                "ELM201",
                (key,),
                message,
                f"add {_count(n - length, 'entry')} for {_layers(length, n - 1)}, or set "
                f"num_transformer_layers to {length}"
                if length
                else f"give {_count(n, 'entry')}, one per layer",
                related,
                label=f"no entry for layer {length}",
            )
        elif not schedule.is_control_points(length, n):
            most = schedule.max_control_points(n)
            yield Violation(
                "ELM201",
                (key,),
                message,
                f"give {n} multipliers, one per layer, or at most {most} control points",
                related,
                label=f"no entry for layer {length}" if length else "empty list",
            )


def head_divisibility(values: Values) -> Iterator[Violation]:
    """In each layer the query heads are a multiple of the KV heads."""
    heads, kv_heads = values.get("num_query_heads"), values.get("num_kv_heads")
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
            ((("num_kv_heads", layer), f"{_count(kv, 'KV head')}"),),
            label=f"{_count(q, 'query head')}",
        )


def heads_given(values: Values) -> Iterator[Violation]:
    """The heads come from the two lists together, or from the recipe."""
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
        given = "num_gqa_groups" if missing == ["qkv_multipliers"] else "qkv_multipliers"
        yield Violation(
            "ELM101",
            (given,),
            f"{missing[0]} is missing: without it {given} gives no head counts",
            f"add {missing[0]}, for example "
            + (
                "num_gqa_groups: 4" if given == "qkv_multipliers" else "qkv_multipliers: [0.5, 1.0]"
            ),
        )


def _expanded(values: Values, key: str) -> tuple[float, ...] | None:
    """The multiplier of each layer, where the points for it are there and whole."""
    points, n = values.get(key), values.get("num_transformer_layers")
    if points is None or n is None or None in points:
        return None
    if len(points) != n and not schedule.is_control_points(len(points), n):
        return None
    options = values.get("schedule") or {}
    return schedule.multipliers(
        points,
        n,
        decimals=options.get("decimals", schedule.RELEASED_DECIMALS),
        frame=options.get("frame_" + key.removesuffix("s")),
    )


def multipliers_survive_rounding(values: Values) -> Iterator[Violation]:
    """No multiplier is rounded to zero."""
    for key in MULTIPLIER_LISTS:
        expanded = _expanded(values, key)
        if expanded and 0 in expanded:
            layer = expanded.index(0)
            yield Violation(
                "ELM205",
                (key,),
                f"layer {layer}: {key} is rounded to 0",
                "use larger multipliers, or more decimals in schedule",
            )


def recipe_agrees(values: Values) -> Iterator[Violation]:
    """Where the file gives both the recipe and the lists, they say the same."""
    heads, kv_heads = values.get("num_query_heads"), values.get("num_kv_heads")
    groups, n = values.get("num_gqa_groups"), values.get("num_transformer_layers")
    d, h = values.get("model_dim"), values.get("head_dim")
    if groups is None or heads is None or n is None:
        return
    multipliers = _expanded(values, "qkv_multipliers")
    if multipliers and d is not None and h is not None and len(heads) == n:
        wanted = [query_heads(m, d, h, groups) for m in multipliers]
        differ = [i for i in range(n) if heads[i] is not None and heads[i] != wanted[i]]
        if differ:
            i = differ[0]
            more = f", and {_count(len(differ) - 1, 'later layer')} too" if differ[1:] else ""
            yield Violation(
                "ELM301",
                ("num_query_heads", i),
                f"layer {i}: num_query_heads is {heads[i]}, but the recipe gives {wanted[i]} "
                f"(qkv_multiplier {multipliers[i]:g}, {groups} queries per KV head){more}",
                f"use {wanted[i]}, or change qkv_multipliers; mlx-lm would build the list, "
                "the hub's code the recipe",
                ((("qkv_multipliers",), "recipe"),),
                label=f"recipe says {wanted[i]}",
            )
    if kv_heads is None or len(kv_heads) != len(heads):
        return
    differ = [
        i
        for i, (q, kv) in enumerate(zip(heads, kv_heads, strict=True))
        # Where the pair does not divide at all, head_divisibility has said so already.
        if q is not None and kv is not None and q % kv == 0 and q != kv * groups
    ]
    if differ:
        i = differ[0]
        more = f", and {_count(len(differ) - 1, 'later layer')} too" if differ[1:] else ""
        per_head = heads[i] // kv_heads[i]
        yield Violation(
            "ELM302",
            ("num_kv_heads", i),
            f"layer {i}: num_kv_heads is {kv_heads[i]}, which makes {per_head} queries per KV "
            f"head where num_gqa_groups says {groups}{more}",
            f"use num_kv_heads = num_query_heads / num_gqa_groups, or set num_gqa_groups to "
            f"{per_head} (it is the number of query heads per KV head)",
            ((("num_gqa_groups",), f"{groups} queries per KV head"),),
            label=f"{heads[i]} / {kv_heads[i]} = {per_head}",
        )


def schedule_applies(values: Values) -> Iterator[Violation]:
    """Options of the schedule are given only where control points are there to use them."""
    n, options = values.get("num_transformer_layers"), values.get("schedule") or {}
    plain = {"decimals": schedule.RELEASED_DECIMALS}
    if n is None or all(value == plain.get(option) for option, value in options.items()):
        return
    given = [values[key] for key in MULTIPLIER_LISTS if values.get(key) is not None]
    if given and all(len(entries) == n for entries in given):
        yield Violation(
            "ELM303",
            ("schedule",),
            "schedule has no effect: every multiplier list has one entry per layer already",
            "remove schedule, or give control points, for example ffn_multipliers: [0.5, 4.0]",
        )


RULES: tuple[Rule, ...] = (
    list_lengths,
    heads_given,
    multipliers_survive_rounding,
>>>>>>> main
    head_divisibility,
    kv_heads_disagree,
    list_length,
    missing_key,
    query_heads_disagree,
    schedule_without_control_points,
)
from elmcfg.rules.draft import HEAD_LISTS, MULTIPLIER_LISTS, Draft, Values

__all__ = ["HEAD_LISTS", "MULTIPLIER_LISTS", "RULES", "Values", "violations", "violations_of"]

RULES: tuple[Check, ...] = (
    list_length.check,
    missing_key.check,
    head_divisibility.check,
    query_heads_disagree.check,
    kv_heads_disagree.check,
    schedule_without_control_points.check,
)


def violations(values: Values) -> list[Violation]:
    """Every broken cross-field rule, in the order of :data:`RULES`."""
    return violations_of(Draft(values))


def violations_of(draft: Draft) -> list[Violation]:
    """:func:`violations` of a draft that is there already."""
    return [violation for rule in RULES for violation in rule(draft)]
