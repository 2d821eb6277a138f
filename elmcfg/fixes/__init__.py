"""Mending a file by its findings, with its comments, order and layout kept.

:func:`proposals` says how each finding could be mended, :func:`mend` does it. Each code has its
function in :data:`FIXES`; most codes have none, since what was meant is the user's to say.

A *safe* fix never changes a tensor of the model that the file's author, or the weights beside the
file, mean. So it writes only what the file says a second time, or what can be read in one way
alone, and takes away only what is said elsewhere or says nothing:

- of a list and a depth that differ, neither is taken for the author's unless every other list
  agrees, and the entries that are kept or added are those that the rest of the file makes;
- a value is written anew only with the digits or the word that stand there, where they have one
  reading; a key is renamed only in a file that is refused as it is, to the one that is nearest;
- of two entries for one key, one is removed only if they say the same.

Where weights lie beside the file, they are the better witness: a change of lists, sizes or depth
is safe if the file then has their tensors, and a change of a list's length is unsafe
if it has not. All else is *unsafe*, and for the user to choose.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from elmcfg.diagnostics import Diagnostic, Loc
from elmcfg.document import Document, parse
from elmcfg.document.editing import Append, Edit, Rename, Truncate, apply, changed
from elmcfg.fixes import keys, lists, scalars, texts, tying
from elmcfg.fixes.fix import Fix

__all__ = ["FIXES", "Fix", "mend", "proposals"]

Judge = Callable[[Document], bool]

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

# The keys whose values show in the shapes of the tensors.
_TENSOR_KEYS = frozenset(
    {
        "num_transformer_layers",
        "model_dim",
        "head_dim",
        "vocab_size",
        "num_query_heads",
        "num_kv_heads",
        "ffn_multipliers",
        "ffn_dim_divisor",
        "ffn_with_glu",
        "normalize_qk_projections",
        "share_input_output_layers",
    }
)

# These mend all findings of their kind at once, and are offered with the first.
_OF_THE_WHOLE = frozenset({lists.stale_heads})
# One mended fault can uncover another; nothing needs more rounds than this.
_ROUNDS = 10
# How many fixes are tried alone where they fail together.
_ONE_BY_ONE = 20
# A file that is larger, or has more faults, is no config with a slip in it.
_MOST_TEXT = 256 * 1024
_MOST_FIXES = 1_000


def proposals(
    document: Document, found: Iterable[Diagnostic], has_weights_of: Judge | None = None
) -> dict[Diagnostic, Fix]:
    """Return a fix for each finding that has one; they may exclude one another.

    Args:
        document: The file.
        found: Its findings.
        has_weights_of: Whether a document has the tensors of the weights beside the file; ``None``
            where there are none.
    """
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
    return _without_rivals(_judge_by_weights(document, fixes, has_weights_of))


def _judge_by_weights(
    document: Document, fixes: dict[Diagnostic, Fix], has_weights_of: Judge | None
) -> dict[Diagnostic, Fix]:
    """Return the fixes, with what the weights say of them where there are some."""
    if has_weights_of is None or not any(map(_of_tensors, fixes.values())):
        return fixes
    for choice in (fixes, {d: fix.otherwise or fix for d, fix in fixes.items()}):
        after = _mended(document, _compatible(choice.values()))
        if after is not None and has_weights_of(after):
            return {d: replace(fix, safe=fix.safe or _of_tensors(fix)) for d, fix in choice.items()}
    return {d: replace(fix, safe=fix.safe and not _of_length(fix)) for d, fix in fixes.items()}


def _of_tensors(fix: Fix) -> bool:
    """Return whether all that a fix changes shows in the shapes of the weights."""
    keys = [c.key if isinstance(c, Rename) else c.loc[0] for c in fix.changes]
    return bool(keys) and _TENSOR_KEYS.issuperset(keys)


def _of_length(fix: Fix) -> bool:
    return any(isinstance(change, Truncate | Append) for change in fix.changes)


def _without_rivals(fixes: dict[Diagnostic, Fix]) -> dict[Diagnostic, Fix]:
    """Leave out the fixes that would give two keys one name."""
    names = Counter(_names(fixes.values()))
    return {d: fix for d, fix in fixes.items() if all(names[name] < 2 for name in _names([fix]))}


def _names(fixes: Iterable[Fix]) -> list[Loc]:
    changes = [change for fix in fixes for change in fix.changes]
    return [(*c.loc[:-1], c.key) for c in changes if isinstance(c, Rename)]


def mend(
    document: Document,
    diagnose: Callable[[Document], Sequence[Diagnostic]],
    *,
    unsafe: bool = False,
    has_weights_of: Judge | None = None,
) -> tuple[Document, list[str]]:
    """Apply every fix that applies, round by round, until there is none.

    Args:
        document: The file as it is.
        diagnose: The findings to mend, given a document.
        unsafe: Whether to apply unsafe fixes too.
        has_weights_of: As :func:`proposals` takes it.

    Returns:
        The mended document, in memory, and what was done, in words.
    """
    done: list[str] = []
    for _ in range(_ROUNDS):
        offered = proposals(document, diagnose(document), has_weights_of).values()
        chosen = _compatible(fix for fix in offered if fix.safe or unsafe)
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
    return after if _text_of(after.data) == _text_of(wanted) else None


def _text_of(values: object) -> str:
    """Return values in a form in which equal ones are equal, NaN too."""
    return json.dumps(values, sort_keys=True)


def _first_fault(document: Document) -> tuple[int, int]:
    span = document.diagnostics[0].span if document.diagnostics else None
    return (span.line, span.column) if span else (0, 0)
