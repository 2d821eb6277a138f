"""Keys that are misspelt, said twice, or without effect."""

from __future__ import annotations

import re

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document, Format
from elmcfg.document.editing import Remove, Rename, removal
from elmcfg.fixes.fix import Fix, of_changes
from elmcfg.quick import fits
from elmcfg.rules.draft import MULTIPLIER_LISTS
from elmcfg.rules.unknown_key import COUNTERPARTS
from elmcfg.schedule import RELEASED_DECIMALS, numpy_round


def misspelt_key(document: Document, found: Diagnostic) -> Fix | None:
    """Rename the key to the one that it comes close to, if that is not there already.

    In a variant file, which is refused as it is, that is safe where no other key comes as close. In
    a hub ``config.json`` the key may be another program's, and what programs build would change;
    and so it may be wherever another program has a key of exactly this name.
    """
    meant = re.fullmatch(r"did you mean (\w+)\?", found.help)
    holder = document.value(found.loc[:-1])
    if meant is None or not isinstance(holder, dict) or meant[1] in holder:
        return None
    key = str(found.loc[-1])
    if key in COUNTERPARTS and not fits((meant[1],), holder.get(key)):
        return None
    return of_changes(
        document,
        f"rename {key} to {meant[1]}",
        [Rename(found.loc, meant[1])],
        safe=document.format is Format.YAML and key not in COUNTERPARTS,
    )


def repeated_key(document: Document, found: Diagnostic) -> Fix | None:
    """Remove the earlier of two entries, which programs ignore already.

    Unsafe where the two differ, since the one that was meant may be the first.
    """
    repeat = document.tree.repeats.get(found.span) if found.span else None
    if repeat is None or document.data is None:
        return None
    return Fix(
        f"remove the first {found.loc[-1]}",
        safe=repeat.first_data == document.value(found.loc),
        edits=(removal(document, repeat.first_key, repeat.first_value),),
    )


def idle_schedule(document: Document, found: Diagnostic) -> Fix | None:
    """Remove options of a schedule that nothing uses.

    Unsafe where they would change a list if they were used: its author may have meant that.
    """
    options = document.value(found.loc)
    lists = [document.value((key,)) for key in MULTIPLIER_LISTS]
    frames = [options.get("frame_" + key.removesuffix("s")) for key in MULTIPLIER_LISTS]
    decimals = options.get("decimals", RELEASED_DECIMALS)
    same = all(
        (decimals is None or all(numpy_round(value, decimals) == value for value in entries))
        and frame in (None, entries[0])
        and frame in (None, entries[-1])
        for entries, frame in zip(lists, frames, strict=True)
        if entries
    )
    return of_changes(document, "remove schedule", [Remove(found.loc)], safe=same)
