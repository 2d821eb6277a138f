"""Mending a file by its findings, with its comments, order and layout kept.

:func:`proposals` says how each finding could be mended, :func:`mend` does it. A fix is *safe* if
the model that programs build today from the file stays the same, or if no program builds one yet
and only one thing can have been meant; any other is *unsafe*. Each code has its function in
:data:`FIXES`; most codes have none, since what was meant is the user's to say.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from elmcfg.diagnostics import Diagnostic, Loc
from elmcfg.document import Document, parse
from elmcfg.document.editing import Edit, apply, changed
from elmcfg.fixes import keys, lists, scalars, texts, tying
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
    "ELM415": tying.other_key,
}
"""How findings of a code are mended."""

# These mend all findings of their kind at once, and are offered with the first.
_OF_THE_WHOLE = frozenset({lists.stale_heads})
# One mended fault can uncover another; nothing needs more rounds than this.
_ROUNDS = 10
# How many fixes are tried alone where they fail together.
_ONE_BY_ONE = 20
# A file that is larger, or has more faults, is no config with a slip in it.
_MOST_TEXT = 256 * 1024
_MOST_FIXES = 1_000


def proposals(document: Document, found: Iterable[Diagnostic]) -> dict[Diagnostic, Fix]:
    """A fix for each finding that has one; they may exclude one another."""
    if len(document.text) > _MOST_TEXT or document.assumed:  # in a vocabulary not ours
        return {}
    fixes: dict[Diagnostic, Fix] = {}
    tried: set[object] = set()
    for d in islice((d for d in found if d.code in FIXES), _MOST_FIXES):
        mender = FIXES[d.code]
        if mender in _OF_THE_WHOLE and mender in tried:
            continue
        tried.add(mender)
        fix = mender(document, d)
        if fix is not None and fix.edits:
            fixes[d] = fix
    return fixes


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
        wanted = [
            fix for fix in proposals(document, diagnose(document)).values() if fix.safe or unsafe
        ]
        chosen = _compatible(wanted)
        after = _mended(document, chosen)
        if after is None:
            # One of them does not do what it should: the others are found one by one.
            chosen = [fix for fix in chosen[:_ONE_BY_ONE] if _mended(document, [fix])]
            after = _mended(document, chosen)
        if after is None or not chosen:
            break
        document = after
        done += [fix.title for fix in chosen]
    return document, done


def _compatible(fixes: Iterable[Fix]) -> list[Fix]:
    """Of fixes that touch the same text or the same entry, the first."""
    chosen: list[Fix] = []
    taken: list[Edit] = []
    entries: set[Loc] = set()
    for fix in fixes:
        if any(change.loc in entries for change in fix.changes):
            continue
        if any(_touches(edit, taken) for edit in fix.edits):
            continue
        chosen.append(fix)
        entries.update(change.loc for change in fix.changes)
        for edit in fix.edits:
            insort(taken, edit)
    return chosen


def _touches(edit: Edit, taken: Sequence[Edit]) -> bool:
    at = bisect_left(taken, edit)
    near = taken[max(0, at - 1) : at + 1]
    return any(edit.start <= other.end and other.start <= edit.end for other in near)


def _mended(document: Document, fixes: Sequence[Fix]) -> Document | None:
    """The document with fixes applied, or nothing where it does not say then what it should."""
    made = [edit for fix in fixes for edit in fix.edits]
    after = parse(apply(document.text, made), document.path, document.format)
    if document.data is None:
        # Nothing is known of the values; reading must at least get further than before.
        further = after.data is not None or _first_fault(after) > _first_fault(document)
        return after if further else None
    try:
        wanted = changed(document.data, (change for fix in fixes for change in fix.changes))
    except (LookupError, TypeError):
        return None  # a finding in an entry that a later one of the same name has replaced
    return after if after.data == wanted else None


def _first_fault(document: Document) -> tuple[int, int]:
    span = document.diagnostics[0].span if document.diagnostics else None
    return (span.line, span.column) if span else (0, 0)
