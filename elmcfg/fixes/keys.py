"""Keys that are misspelt, said twice, or without effect."""

from __future__ import annotations

from difflib import get_close_matches

from elmcfg.config import Config, Schedule
from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document, Format
from elmcfg.document.editing import Remove, Rename, removal
from elmcfg.fixes.fix import Fix, of_changes


def misspelt_key(document: Document, found: Diagnostic) -> Fix | None:
    """The key gets the name that it comes close to, if that is not there already.

    In a variant file, which is refused as it is, that is safe. In a hub ``config.json`` the key
    may be another program's, and what programs build would change.
    """
    if not found.loc:
        return None
    key = str(found.loc[-1])
    known = Config.model_fields if len(found.loc) == 1 else Schedule.model_fields
    close = get_close_matches(key.lower().replace("-", "_"), list(known), n=1, cutoff=0.82)
    holder = document.value(found.loc[:-1])
    if key in known or not close or not isinstance(holder, dict) or close[0] in holder:
        return None
    return of_changes(
        document,
        f"rename {key} to {close[0]}",
        [Rename(found.loc, close[0])],
        safe=document.format is Format.YAML,
    )


def repeated_key(document: Document, found: Diagnostic) -> Fix | None:
    """The earlier of two goes, which programs ignore already.

    Unsafe where the two differ, since the one that was meant may be the first.
    """
    repeat = next((r for r in document.tree.repeats if r.second_key == found.span), None)
    if repeat is None:
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
