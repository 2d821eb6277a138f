"""The two keys that say whether the output head is the embedding."""

from __future__ import annotations

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document
from elmcfg.document.editing import Insert, Replace
from elmcfg.fixes.fix import Fix, of_changes

_OURS, _THEIRS = ("share_input_output_layers",), ("tie_word_embeddings",)


def other_key(document: Document, found: Diagnostic) -> Fix | None:
    """Let the key of transformers say what share_input_output_layers says.

    Safe where the file gives that key alone, or where transformers builds the same model either
    way. Unsafe where the file says both: the one that was meant may be the other.
    """
    values = document.data or {}
    shared = values.get(_OURS[0])
    if not isinstance(shared, bool):
        return None
    title = f"set tie_word_embeddings to {str(shared).lower()}"
    if _THEIRS[0] in values:
        return of_changes(document, title, [Replace(_THEIRS, shared)], safe=shared)
    return of_changes(document, title, [Insert(_THEIRS, shared, after=_OURS)], safe=True)
