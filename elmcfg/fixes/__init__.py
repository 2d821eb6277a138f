"""Mending a file by its findings, with its comments, order and layout kept.

:func:`proposals` says how each finding could be mended, :func:`mend` does it. A fix is *safe* if
the model that programs build today from the file stays the same, or if no program builds one yet
and only one thing can have been meant; any other is *unsafe*. Each code has its function in
:data:`FIXES`; most codes have none, since what was meant is the user's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document, parse
from elmcfg.document.editing import Edit, apply, changed
from elmcfg.fixes import keys, lists, scalars, texts
from elmcfg.fixes.fix import Fix

__all__ = ["FIXES", "Fix", "mend", "proposals"]

FIXES: dict[str, Callable[[Document, Diagnostic], Fix | None]] = {
    "ELM002": texts.json_slip,
    "ELM003": keys.repeated_key,
    "ELM007": scalars.leading_zero,
    "ELM008": texts.unused_comment,
    "ELM102": keys.misspelt_key,
    "ELM103": scalars.other_type,
    "ELM201": lists.wrong_length,
    "ELM203": lists.stale_heads,
    "ELM301": lists.stale_heads,
    "ELM302": lists.stale_heads,
    "ELM303": keys.idle_schedule,
}
"""How findings of a code are mended."""

# One mended fault can uncover another; nothing needs more rounds than this.
_ROUNDS = 10
# A file with more faults of one kind than this is no config with a slip in it.
_MOST_FIXES = 200


def proposals(document: Document, found: Iterable[Diagnostic]) -> dict[Diagnostic, Fix]:
    """A fix for each finding that has one; they may exclude one another."""
    able = islice((d for d in found if d.code in FIXES), _MOST_FIXES)
    return {d: fix for d in able if (fix := FIXES[d.code](document, d)) and fix.edits}


def mend(
    document: Document,
    diagnose: Callable[[Document], Sequence[Diagnostic]],
    *,
    unsafe: bool = False,
) -> tuple[Document, list[str]]:
    """Apply every fix that applies, round by round, until there is none.

    Args:
        document: The file as it is.
        diagnose: The findings to mend, given a document.
        unsafe: Whether to apply unsafe fixes too.

    Returns:
        The mended document, in memory, and what was done, in words.
    """
    done: list[str] = []
    for _ in range(_ROUNDS):
        fixes = proposals(document, diagnose(document)).values()
        chosen: list[Fix] = []
        for fix in fixes:
            if (
                (fix.safe or unsafe)
                and not any(_clash(fix, other) for other in chosen)
                and _says_the_right_thing(document, [fix])
            ):
                chosen.append(fix)
        if not _says_the_right_thing(document, chosen):
            chosen = chosen[:1]
        if not chosen:
            break
        document = _edited(document, chosen)
        done += [fix.title for fix in chosen]
    return document, done


def _edited(document: Document, fixes: Iterable[Fix]) -> Document:
    made: list[Edit] = [edit for fix in fixes for edit in fix.edits]
    return parse(apply(document.text, made), document.path, document.format)


def _clash(one: Fix, other: Fix) -> bool:
    return any(
        a.start <= b.end and b.start <= a.end for a in one.edits for b in other.edits
    ) or any(a.loc == b.loc for a in one.changes for b in other.changes)


def _says_the_right_thing(document: Document, fixes: Sequence[Fix]) -> bool:
    """Whether the edited text, read again, holds the values that it should."""
    after = _edited(document, fixes)
    if document.data is None:
        # Nothing is known of the values; reading must at least get further than before.
        return after.data is not None or _first_fault(after) > _first_fault(document)
    changes = [change for fix in fixes for change in fix.changes]
    return bool(after.data == changed(document.data, changes))


def _first_fault(document: Document) -> tuple[int, int]:
    span = document.diagnostics[0].span if document.diagnostics else None
    return (span.line, span.column) if span else (0, 0)
