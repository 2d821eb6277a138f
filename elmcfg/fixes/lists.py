"""Lists that are too long, too short, or no longer what the recipe says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document
from elmcfg.document.editing import Append, Change, Replace, Truncate
from elmcfg.fixes.fix import Fix, of_changes
from elmcfg.quick import fits
from elmcfg.rules.draft import HEAD_LISTS, MULTIPLIER_LISTS, Draft
from elmcfg.schedule import is_control_points

_DEPTH = "num_transformer_layers"
_RECIPE = (_DEPTH, "model_dim", "head_dim", "num_gqa_groups", "qkv_multipliers")


def wrong_length(document: Document, found: Diagnostic) -> Fix | None:
    """Set the depth where all lists have another one; cut a long list, complete a short one.

    Which of the two is wrong, and which entries are the surplus ones, the file can show only by
    saying it elsewhere. So a cut is safe where all other lists are as long as the model is deep,
    and the other list of heads with num_gqa_groups says again each entry that is kept. A cut of
    multipliers never is: nothing else in a file says which of them were meant.
    """
    key, layers = found.loc[0], document.value((_DEPTH,))
    entries = document.value((key,))
    if not isinstance(entries, list) or not fits((_DEPTH,), layers):
        return None
    lengths = _lengths(document, layers)
    to_depth = _to_depth(document, str(key), layers, lengths)
    if len(lengths) > 1 and len(set(lengths.values())) == 1 and fits((_DEPTH,), len(entries)):
        deeper = of_changes(
            document,
            f"set {_DEPTH} to {len(entries)}, the length of every list",
            [Replace((_DEPTH,), len(entries))],
            safe=False,
        )
        return replace(deeper, otherwise=to_depth)
    return to_depth


def _to_depth(document: Document, key: str, layers: int, lengths: Mapping[str, int]) -> Fix | None:
    """Cut a list, or make it again, so that it is as long as the model is deep."""
    entries = document.value((key,))
    surplus = len(entries) - layers
    if surplus < 0:
        return stale_heads(document) if key in HEAD_LISTS else None
    what = f"the last {surplus} entries" if surplus > 1 else "the last entry"
    return of_changes(
        document,
        f"cut {what} of {key}",
        [Truncate((key,), layers)],
        safe=_alone(lengths, key, layers) and entries[:layers] == _by_the_other(document, key),
    )


def _lengths(document: Document, layers: int) -> dict[str, int]:
    """Return the length of each list that has an entry per layer, or should."""
    lists = {key: document.value((key,)) for key in HEAD_LISTS + MULTIPLIER_LISTS}
    return {
        key: len(entries)
        for key, entries in lists.items()
        if isinstance(entries, list)
        and (key in HEAD_LISTS or not is_control_points(len(entries), layers))
    }


def _alone(lengths: Mapping[str, int], key: str | int, layers: int) -> bool:
    """Return whether all other lists, two at least, are as long as the model is deep.

    One list and the depth against another list are too few: one slip more, and they would be wrong.
    """
    others = [length for name, length in lengths.items() if name != key]
    return len(others) > 1 and set(others) == {layers}


def _by_the_other(document: Document, key: str | int) -> list[int] | None:
    """Return a list of heads as the other list and num_gqa_groups have it."""
    groups = document.value(("num_gqa_groups",))
    if key not in HEAD_LISTS or not fits(("num_gqa_groups",), groups) or groups is None:
        return None
    other = next(name for name in HEAD_LISTS if name != key)
    heads = document.value((other,))
    if not fits((other,), heads) or heads is None:
        return None
    if key == "num_query_heads":
        return [groups * kv for kv in heads]
    return None if any(q % groups for q in heads) else [q // groups for q in heads]


def stale_heads(document: Document, _found: Diagnostic | None = None) -> Fix | None:
    """Make both lists of heads again from the recipe, entry by entry.

    That is safe only where it completes one list, and all else agrees: the entries that are there
    and the whole other list with the recipe, and every other list with the depth.
    """
    wanted = _from_recipe(document)
    if wanted is None:
        return None
    changes: list[Change] = []
    for key, entries in wanted.items():
        there = document.value((key,))
        if not isinstance(there, list) or not there:
            return None
        changes += _entry_by_entry(key, there, entries)
    if not changes:
        return None
    layers = document.value((_DEPTH,))
    return of_changes(
        document,
        "make num_query_heads and num_kv_heads again from the recipe",
        changes,
        safe=len(changes) == 1
        and isinstance(changes[0], Append)
        and _alone(_lengths(document, layers), changes[0].loc[0], layers),
    )


def _entry_by_entry(key: str, there: Sequence[object], wanted: Sequence[int]) -> list[Change]:
    changes: list[Change] = [
        Replace((key, layer), new)
        for layer, (old, new) in enumerate(zip(there, wanted, strict=False))
        if old != new or type(old) is not int
    ]
    if len(there) > len(wanted):
        changes.append(Truncate((key,), len(wanted)))
    elif len(there) < len(wanted):
        changes.append(Append((key,), tuple(wanted[len(there) :])))
    return changes


def _from_recipe(document: Document) -> dict[str, Sequence[int]] | None:
    """Both lists as the recipe has them, where the file gives one that is sound."""
    values = {key: document.value((key,)) for key in _RECIPE}
    if not all(value is not None and fits((key,), value) for key, value in values.items()):
        return None
    points, given = values["qkv_multipliers"], document.value(("schedule",))
    if given is not None and not fits(("schedule",), given):
        return None
    points = points if isinstance(points, list) else [points]
    draft = Draft({**values, "qkv_multipliers": points, "schedule": given})
    if draft.heads is None or draft.kv_heads is None:
        return None
    return {"num_query_heads": draft.heads, "num_kv_heads": draft.kv_heads}
