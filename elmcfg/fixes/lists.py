"""Lists that are too long, too short, or no longer what the recipe says."""

from __future__ import annotations

from collections.abc import Sequence

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document
from elmcfg.document.editing import Append, Change, Replace, Truncate
from elmcfg.fixes.fix import Fix, of_changes
from elmcfg.quick import fits
from elmcfg.rules.draft import HEAD_LISTS, Draft

_RECIPE = ("num_transformer_layers", "model_dim", "head_dim", "num_gqa_groups", "qkv_multipliers")


def wrong_length(document: Document, found: Diagnostic) -> Fix | None:
    """The tail of an over-long list goes; a short list of heads is made from the recipe.

    Cutting is safe: mlx-lm reads only the first entries, and the hub's code refuses the file.
    """
    key, layers = found.loc[0], document.value(("num_transformer_layers",))
    entries = document.value((key,))
    if not isinstance(entries, list) or not fits(("num_transformer_layers",), layers):
        return None
    surplus = len(entries) - layers
    if surplus < 0:
        return stale_heads(document, found) if key in HEAD_LISTS else None
    what = f"the last {surplus} entries" if surplus > 1 else "the last entry"
    return of_changes(document, f"cut {what} of {key}", [Truncate((key,), layers)], safe=True)


def stale_heads(document: Document, found: Diagnostic) -> Fix | None:
    """Both lists of heads are made again from the recipe, entry by entry.

    That is safe only where the entries that are there already agree with it: otherwise mlx-lm,
    which reads the lists, would build another model than before.
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
    return of_changes(
        document,
        "make num_query_heads and num_kv_heads again from the recipe",
        changes,
        safe=all(isinstance(change, Append) for change in changes),
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
