"""Keys that are misspelt, said twice, or without effect."""

from __future__ import annotations

import re

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document, Format
from elmcfg.document.editing import Remove, Rename, removal
from elmcfg.fixes.fix import Fix, of_changes


def misspelt_key(document: Document, found: Diagnostic) -> Fix | None:
    """The key gets the name that it comes close to, if that is not there already.

    In a variant file, which is refused as it is, that is safe. In a hub ``config.json`` the key
    may be another program's, and what programs build would change.
    """
    meant = re.match(r"did you mean (\w+)\?", found.help)
    holder = document.value(found.loc[:-1])
    if meant is None or not isinstance(holder, dict) or meant[1] in holder:
        return None
    return of_changes(
        document,
        f"rename {found.loc[-1]} to {meant[1]}",
        [Rename(found.loc, meant[1])],
        safe=document.format is Format.YAML,
    )


def repeated_key(document: Document, found: Diagnostic) -> Fix | None:
    """The earlier of two goes, which programs ignore already.

    Unsafe where the two differ, since the one that was meant may be the first.
    """
    repeat = document.tree.repeats.get(found.span) if found.span else None
    if repeat is None or document.data is None:
        return None
    same = repeat.first_data == document.value(found.loc)
    return Fix(
        f"remove the first {found.loc[-1]}",
        safe=same,
        edits=(removal(document, repeat.first_key, repeat.first_value),),
    )


def idle_schedule(document: Document, found: Diagnostic) -> Fix | None:
    """Options of a schedule that nothing uses go."""
    return of_changes(document, "remove schedule", [Remove(found.loc)], safe=True)
