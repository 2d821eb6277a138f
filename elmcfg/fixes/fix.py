"""What a fix is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from elmcfg.document import Document
from elmcfg.document.editing import Change, Edit, edits


@dataclass(frozen=True, slots=True)
class Fix:
    """One way to mend one finding.

    Attributes:
        title: What it does, in words: "rename num_kv_head to num_kv_heads".
        safe: Whether the file alone shows that this keeps the model that its author means; the
            rule is that of :mod:`elmcfg.fixes`.
        edits: Replacements in the text.
        changes: What they change of the values; nothing, where only the text is at fault.
        otherwise: Another way to fix it, for weights to choose between the two.
    """

    title: str
    safe: bool
    edits: tuple[Edit, ...]
    changes: tuple[Change, ...] = ()
    otherwise: Fix | None = None


def of_changes(document: Document, title: str, changes: Iterable[Change], *, safe: bool) -> Fix:
    """A fix that is a change of values; without edits where the text has no place for them."""
    wanted = tuple(changes)
    made = [edits(document, change) for change in wanted]
    if not all(made):
        return Fix(title, safe, ())
    return Fix(title, safe, tuple(edit for part in made for edit in part), wanted)
