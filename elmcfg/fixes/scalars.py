"""Single values: numbers that YAML reads as text, text that it reads as a number, and the like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from elmcfg.diagnostics import Diagnostic
from elmcfg.document import Document, Format
from elmcfg.document.editing import Replace, scalar
from elmcfg.fixes.fix import Fix, of_changes
from elmcfg.quick import fits

_MOST_SHOWN = 40
_WORDS = {"true": True, "false": False, "null": None, "none": None}


def other_type(document: Document, found: Diagnostic) -> Fix | None:
    """A value of the wrong type gets the one reading that the key accepts.

    Safe: the same digits or word, as what it can only have meant.
    """
    old = document.value(found.loc)
    for value in _readings(document, found, old):
        if fits(found.loc, value):
            return of_changes(
                document, _title(document, found, value), [Replace(found.loc, value)], safe=True
            )
    return None


def leading_zero(document: Document, found: Diagnostic) -> Fix | None:
    """``010``, which is 8, becomes 10.

    Unsafe: it is another number to every program that reads YAML 1.1.
    """
    if document.tree.values.get(found.loc) != found.span:
        return None  # a later entry of the same name has replaced this one
    written = _source(document, found)
    if not written.lstrip("+-").isdigit() or isinstance(document.value(found.loc), str):
        return None
    value = int(written)
    if not fits(found.loc, value):
        return None
    return of_changes(
        document, _title(document, found, value), [Replace(found.loc, value)], safe=False
    )


def _readings(document: Document, found: Diagnostic, old: Any) -> Iterator[Any]:
    if isinstance(old, str):
        if old.strip().lower() in _WORDS:
            yield _WORDS[old.strip().lower()]
        for kind in (int, float):
            try:
                yield kind(old)
            except ValueError:
                continue
    elif isinstance(old, float) and old.is_integer():
        yield int(old)
    if document.format is Format.YAML and isinstance(old, bool | int | float):
        # As text, what stands there is kept letter by letter: no, 010, 1:30.
        yield _source(document, found)


def _source(document: Document, found: Diagnostic) -> str:
    span = found.span
    if span is None:
        return ""
    start = document.lines.offset(span.line, span.column)
    return document.text[start : document.lines.offset(span.end_line, span.end_column)]


def _title(document: Document, found: Diagnostic, value: Any) -> str:
    text = scalar(value, document.format)
    return f"write {_name(found)} as {text if len(text) <= _MOST_SHOWN else 'text'}"


def _name(found: Diagnostic) -> str:
    name = ".".join(str(part) for part in found.loc if isinstance(part, str))
    layers = [part for part in found.loc if isinstance(part, int)]
    return f"{name} of layer {layers[0]}" if layers else name
